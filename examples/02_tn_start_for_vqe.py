"""A tensor network as the start of a VQE: train a matrix product state, turn it into a circuit, train on.

python examples/02_tn_start_for_vqe.py          # a 3x4 Heisenberg grid
python examples/02_tn_start_for_vqe.py --quick  # a chain of 6, a few steps
"""

import sys

import bondwise as bw

quick = "--quick" in sys.argv
size, steps = (6, 20) if quick else ((3, 4), 100)

hamiltonian = bw.qml.heisenberg(size)
exact, _ = bw.qml.exact_ground_state(hamiltonian)

# 1. On the laptop: the ground state as a matrix product state of bond dimension 8.
ground = bw.tn.ground_state(hamiltonian, max_bond=8, seed=0)
print(f"exact energy   {exact:.6f}")
print(f"DMRG energy    {ground.value:.6f}   (bond dimension 8)")

# 2. As a circuit: two layers of gates that prepare the state, and room to learn: one near-identity gate on
#    every edge of the lattice, which leaves the state where it is.
circuit, parameters = bw.qml.mps_start(2, ground, pairs=bw.qml.lattice_edges(size), seed=0)

# 3. Train from there, and the same circuit from random angles.
vqe = bw.qml.VQE(hamiltonian, circuit, optimizer="lbfgs")
warm = vqe.run(parameters, steps=steps, seed=0)
cold = vqe.run(bw.qml.random_start(circuit, seed=0), steps=steps, seed=0)
print(f"MPS start      {warm.losses[0]:.6f}   ({circuit.num_parameters} angles)")
print(f"\nafter {steps} steps    energy     relative error")
for name, result in (("MPS start", warm), ("random start", cold)):
    print(f"{name:14} {result.value:.6f}   {(result.value - exact) / abs(exact):.1e}")
