"""Names of the last release, which still work and say what to write instead."""

import pytest

from bondwise.qml import protein


@pytest.mark.parametrize(
    ("old", "new"),
    [("Path", "PathNetwork"), ("Windows", "WindowNetwork"), ("standardise", "standardize")],
)
def test_old_names(old, new):
    with pytest.warns(DeprecationWarning, match=f"{old} is now .*{new}"):
        assert getattr(protein, old) is getattr(protein, new)


def test_old_method_and_keyword(tmp_path):
    with pytest.warns(DeprecationWarning, match=r"is now Alphabet\.tokenize"):
        assert protein.Alphabet().tokenise("AC").tolist() == [0, 1]
    (tmp_path / "p.csv").write_text("sequence\nMKTAYIAK\n")
    with pytest.warns(DeprecationWarning, match="labelled= is now labeled="):
        assert protein.read_proteins(tmp_path / "p.csv", labelled=False).labels is None
