from types import SimpleNamespace

import pytest

from bondwise.runs.renames import with_old_names


def test_old_names_warn_and_work():
    lookup = with_old_names("room", SimpleNamespace(new=3).__getattribute__, {"old": "new"})
    assert lookup("new") == 3
    with pytest.warns(DeprecationWarning, match="room.old is now room.new"):
        assert lookup("old") == 3
    with pytest.raises(AttributeError):
        lookup("other")
