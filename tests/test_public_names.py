"""Public import paths are stable: a name is deprecated for one release before it is removed."""

import importlib
import warnings

import pytest

# of version 0.1.1
NAMES = {
    "bondwise.backends": """
        Backend BackendInfo CircuitModule Estimate Samples estimate expectation get_backend
        list_backends sample to_pennylane to_torch
    """,
    "bondwise.circuits": """
        Observable as_circuit as_operator bind_soundly cx_count declared_parameters hermitian in_gates
        is_matrix is_observable read_circuit readable real_coefficients refuse_variables require_sound
        true_names two_qubit_depth with_constants
    """,
    "bondwise.cli": """
        main
    """,
    "bondwise.mitigation": """
        Extrapolation MitigatedEstimator NoiseScan ReadoutCalibration extrapolate_exponential
        extrapolate_linear extrapolate_polynomial extrapolate_richardson fold_gates fold_global
    """,
    "bondwise.qml": """
        BatchedModel LambeqCircuit Step StopTraining Training VQE VQEResult brickwall check_optimizer
        exact_ground_state from_lambeq heisenberg ising lattice_edges lattice_size minimise
        model_hamiltonian near_identity_start product_start random_start read_hamiltonian
        write_hamiltonian xxz
    """,
    "bondwise.qml.protein": """
        Alphabet Ansatz CNN ClassicalTwin CompositionHydropathyLR CompositionLR EsmLR GRU
        HardwarePrediction HydropathyLR KmerLR Latch LatchQTN Majority Merging Path PathQTN PathReader
        ProteinClassifier ProteinSet QTNClassifier RESIDUES RecurrentQTN Scores TreeQTN TreeReader
        UniProtDownload WindowCircuit WindowQTN WindowReader Windows contract_tree dynamic_circuit
        fetch_uniprot homology_split hydropathy_profile predict_on_backend read_proteins scan
        score_predictions standardise synthetic_proteins window_circuit window_scores
    """,
    "bondwise.runs": """
        FileSet Result RunError RunFolder Stopped UsageError figure_text is_file json_text limit
        load_checkpoint one_line printable progress_bar random_generator read_arrays read_bytes
        read_json read_text real_array real_number require_room require_within save_checkpoint try_apart
        unchanged_process unknown_name whole_number write_atomically
    """,
    "bondwise.tn": """
        Block BornState Decomposition Extension GradientProfile GroundState SO4 SU4 Tree Window
        block_order decompose decompose_analytically extend fit get_block gradient_profile ground_state
        mutual_information order_qubits permute read_bitstrings site_tensors snake_order to_dense
        to_quimb train_born tree_state
    """,
}


@pytest.mark.parametrize("room", NAMES)
def test_every_public_name_of_the_last_release_can_be_imported(room):
    package = importlib.import_module(room)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for name in NAMES[room].split():
            assert getattr(package, name) is not None
