from types import SimpleNamespace

import pytest

from bondwise.runs.renames import renamed_keyword, with_old_names


def test_old_names_warn_and_work():
    lookup = with_old_names("room", SimpleNamespace(new=3).__getattribute__, {"old": "new"})
    assert lookup("new") == 3
    with pytest.warns(DeprecationWarning, match="room.old is now room.new"):
        assert lookup("old") == 3
    with pytest.raises(AttributeError):
        lookup("other")


def test_old_keywords_warn_and_work():
    function = renamed_keyword("old", "new")(lambda first, *, new=0: (first, new))
    assert function(1, new=2) == (1, 2)
    with pytest.warns(DeprecationWarning, match="old= is now new="):
        assert function(1, old=2) == (1, 2)
