"""`bondwise vqe --molecule`: the energies beside the result, other ansätze and starts, and wrong use."""

import json

import pytest

HYDROGEN = ("vqe", "--molecule", "h2", "--bond", 0.74, "--layers", 1, "--extend", 0)
NO_DEVICE = ("--backend", "statevector", "--mitigate", "none", "--shots", 0)


def test_the_reference_energies_stand_beside_the_result(bondwise, tmp_path):
    done = bondwise(*HYDROGEN, *NO_DEVICE, "--steps", 20, "--out", "run")
    assert done.returncode == 0, done.stderr
    for row in ("Hartree-Fock", "-1.116759", "CASCI", "-1.137284", "DMRG, bond 8", "h2"):
        assert row in done.stdout
    assert "(Hartree-Fock: 20.525): chemical accuracy, 1.6 mHa, reached." in " ".join(done.stdout.split())
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    errors = result["molecule"].pop("errors_mha")
    assert errors.keys() == {"MPS", "random"}
    assert abs(errors["MPS"]) < 0.01
    assert result["molecule"] == {
        **{"name": "h2", "basis": "sto-3g", "mapping": "jordan-wigner", "electrons": 2, "orbitals": 2},
        **{"hf_energy": pytest.approx(-1.1167593), "casci_energy": pytest.approx(-1.1372838)},
    }
    assert "<h1>VQE from a tensor network: h2</h1>" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize("ansatz", ["uccsd", "givens", "hardware-efficient", "brickwall"])
def test_every_ansatz_starts_at_hartree_fock(bondwise, ansatz):
    words = ("vqe", "--molecule", "lih", "--active", "2,3", "--ansatz", ansatz, "--start", "hf")
    done = bondwise(*words, *NO_DEVICE, "--steps", 1, "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    stages = {stage["name"]: stage for stage in result["stages"]}
    assert "MPS as a circuit" not in stages
    assert stages["hf start"]["energy"] == pytest.approx(result["molecule"]["hf_energy"], abs=1e-6)
    assert stages["hf start"]["cx"] > 0
    assert result["settings"]["active"] == "2,3"


def test_a_run_is_resumed_and_starts_another(bondwise, tmp_path):
    (tmp_path / "h2.xyz").write_text("2\nhydrogen\nH 0 0 0\nH 0 0 0.8\n")
    words = ("vqe", "--molecule", "h2.xyz", "--mapping", "parity", "--layers", 1, *NO_DEVICE, "--quiet")
    assert bondwise(*words, "--steps", 5, "--out", "run").returncode == 0
    before = json.loads((tmp_path / "run" / "result.json").read_text())
    done = bondwise("vqe", "--resume", "--out", "run", "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    after = json.loads(done.stdout)
    assert [stage["energy"] for stage in after["stages"]] == [stage["energy"] for stage in before["stages"]]
    other = ("--molecule", "h2", "--mapping", "parity", "--layers", 1, *NO_DEVICE, "--json", "--quiet")
    done = bondwise("vqe", *other, "--start", "run", "--steps", 1, "--out", "other")
    assert done.returncode == 0, done.stderr
    (start,) = [stage for stage in json.loads(done.stdout)["stages"] if stage["name"] == "given start"]
    assert start["energy"] < -1.13  # the angles for 0.8 Å are good ones at 0.735 Å
    done = bondwise("vqe", *other, "--start", "run", "--ansatz", "uccsd", "--out", "third")
    assert done.returncode == 2
    assert "run in run trained another circuit, 2 qubits" in done.stderr
    assert not (tmp_path / "third").exists()
    (tmp_path / "h2.xyz").write_text("2\nhydrogen\nH 0 0 0\nH 0 0 0.9\n")
    done = bondwise("vqe", "--resume", "--out", "run", "--quiet")
    assert done.returncode == 2
    assert "the file that --molecule names has changed" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--molecule", "h3"), "unknown molecule 'h3'"),
        (("--molecule", "h2", "--model", "ising"), "leave --model, --size and --periodic out"),
        (("--molecule", "h2", "--size", 4), "leave --model, --size and --periodic out"),
        (("--size", 4, "--bond", 0.7), "--bond is for molecules; add --molecule"),
        (("--size", 4, "--mapping", "parity"), "--mapping is for molecules"),
        (("--molecule", "h2", "--active", "2x2"), "--active is '2x2'; give electrons and orbitals"),
        (("--molecule", "h2", "--active", "4,2"), "active electrons 4 do not fit the molecule, which has 2"),
        (("--molecule", "h2", "--bond", 0), "--bond is 0"),
        (("--molecule", "n2", "--basis", "cc-pvdz"), "such as --active (6,6)"),
        (("--molecule", "h2", "--mapping", "parity", "--ansatz", "givens"), "write --mapping"),
        (("--molecule", "h2", "--embed"), "--embed needs an ansatz that is the identity"),
        (("--size", 4, "--ansatz", "uccsd"), "the ansatz uccsd is for molecules"),
        (("--size", 4, "--start", "hf"), "the start hf is the Hartree-Fock state of a molecule"),
        (("--molecule", "h2", "--start", "."), "holds no finished run of bondwise vqe"),
    ],
)
def test_wrong_use_is_one_line_and_leaves_nothing(bondwise, tmp_path, words, message):
    done = bondwise("vqe", *words, *NO_DEVICE, "--out", "deep/run", "--quiet")
    assert message in done.stderr
    assert (done.returncode, len(done.stderr.splitlines()), done.stdout) == (2, 1, "")
    assert not (tmp_path / "deep").exists()
