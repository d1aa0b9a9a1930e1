"""Names of the last release, which still work and say what to write instead."""

import json

import pytest

from bondwise.qml import protein


@pytest.mark.parametrize(
    ("old", "new"),
    [("Path", "PathNetwork"), ("Windows", "WindowNetwork"), ("standardise", "standardize")],
)
def test_old_names(old, new):
    with pytest.warns(DeprecationWarning, match=f"{old} is now .*{new}"):
        assert getattr(protein, old) is getattr(protein, new)


def test_old_methods_and_keyword(tmp_path):
    with pytest.warns(DeprecationWarning, match=r"is now lambeq_ansatz"):
        assert protein.Ansatz().to_lambeq({}, discard=True).discard
    with pytest.warns(DeprecationWarning, match=r"is now Alphabet\.tokenize"):
        assert protein.Alphabet().tokenise("AC").tolist() == [0, 1]
    (tmp_path / "p.csv").write_text("sequence\nMKTAYIAK\n")
    with pytest.warns(DeprecationWarning, match="labelled= is now labeled="):
        assert protein.read_proteins(tmp_path / "p.csv", labelled=False).labels is None


def test_a_history_of_the_last_release(tmp_path):
    model = protein.CNN(epochs=1).fit(["MKT", "LIV"], [0, 1], validation=(["MKT"], [0]))
    path = model.save(tmp_path) / "model.json"
    document = json.loads(path.read_text())
    for old, new in [
        ("loss", "losses"),
        ("valid_loss", "valid_losses"),
        ("valid_accuracy", "valid_accuracies"),
    ]:
        document["history"][old] = document["history"].pop(new)
        with pytest.warns(DeprecationWarning, match=f"{old} is now history_.{new}"):
            assert getattr(model.history_, old) == getattr(model.history_, new)
    path.write_text(json.dumps(document))
    assert protein.ProteinClassifier.load(tmp_path).history_ == model.history_
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        _ = model.history_.other
