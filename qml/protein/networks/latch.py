"""One circuit for a whole protein: windows are read one by one, and a memory qubit pools them.

The window qubits read a window as in `windows`, a LATCH box couples them to the memory, and they are traced
out (measured and reset) before they read the next window. If window w flips the memory with a small
probability p_w, the memory ends flipped with probability 1 − Π (1 − p_w), a noisy OR: the quantum form of
pooling by the maximum. ⟨Z⟩ of the memory is measured once, at the end.
"""

from __future__ import annotations

import torch
from torch import nn

from bondwise.qml.protein.boxes.ansatz import Ansatz, count_parameters, latch_gates
from bondwise.qml.protein.boxes.box_unitaries import unitaries
from bondwise.qml.protein.boxes.channels import kraus, pauli_vector, probabilities, transfer_matrix
from bondwise.qml.protein.boxes.scanning import scan
from bondwise.qml.protein.networks.windows import WindowNetwork


class Latch(nn.Module):
    """Contracts proteins on window and memory qubits.

    Args:
        words: Size of the vocabulary.
        qubits: Number of qubits that read a window.
        memory: Number of qubits of the memory.
        window: Number of words in a window.
        stride: Number of words from the start of one window to the next.
        ansatz: Ansatz of the boxes of a window.
        layers: Number of layers of the LATCH box.
        spread: Standard deviation of the initial angles of the windows, radians.
        latch_spread: Standard deviation of the initial angles of the LATCH box, in radians; far from the
            identity, training gets stuck.

    Example:
        >>> import torch
        >>> from bondwise.qml.protein import Ansatz, Latch
        >>> network = Latch(
        ...     20, qubits=2, memory=1, window=15, stride=3, ansatz=Ansatz(), layers=2, spread=0.1
        ... )
        >>> outcomes, log10 = network(torch.randint(20, (8, 100)))
        >>> outcomes.shape
        torch.Size([8, 2])
    """

    def __init__(
        self,
        words: int,
        *,
        qubits: int,
        memory: int,
        window: int,
        stride: int,
        ansatz: Ansatz,
        layers: int,
        spread: float,
        latch_spread: float = 0.02,
    ) -> None:
        super().__init__()
        self.windows = WindowNetwork(
            words, qubits=qubits, window=window, stride=stride, ansatz=ansatz, spread=spread
        )
        self.qubits = memory  # those that are measured at the end
        self.box_gates = latch_gates(qubits + memory, layers)
        self.box = nn.Parameter(latch_spread * torch.randn(1, count_parameters(self.box_gates)))

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Outcome probabilities (B, 2^memory), and zeros (B,) because nothing is post-selected.

        Args:
            tokens: Integers (B, T), −1 beyond the end of a sentence.
        """
        states, present = self.windows.states(tokens)
        real, imaginary = states.chunk(2, dim=-1)
        reading = pauli_vector(torch.complex(real, imaginary))
        # one step per window, whose matrix includes the state of the window
        matrices = torch.einsum("cab,nb->nca", self.channel(), reading)
        numbers = torch.full(present.shape, -1, dtype=torch.int64, device=tokens.device)
        numbers[present] = torch.arange(len(matrices), device=tokens.device)
        start = matrices.new_zeros(4**self.qubits)
        start[self._zero()] = 1
        memory, _ = scan(matrices, numbers, start.expand(len(tokens), -1), rescale=False)
        return probabilities(memory[:, -1], pure=False), memory.new_zeros(len(tokens))

    def channel(self) -> torch.Tensor:
        """The LATCH box as a bilinear map (4^memory out, 4^memory in, 4^qubits of the window)."""
        wires = self.qubits + self.windows.qubits
        # wires: memory first, then the window, which is what `kraus` traces out
        box = unitaries(self.box_gates, wires, self.box)
        maps = transfer_matrix(kraus(box, wires, self.qubits, discard=True))[0]
        return maps.reshape(4**self.qubits, 4**self.qubits, -1)

    def angles(self, words: tuple[str, ...]) -> dict[str, torch.Tensor]:
        """Angles in radians by the name of the box in the diagram.

        Args:
            words: Names of the words in the order of the tokens.
        """
        return self.windows.path.angles(words) | {"LATCH": self.box[0]}

    def _zero(self) -> list[int]:
        """Indices of the Paulis made of I and Z, whose expectation values are 1 in |0…0⟩."""
        numbers = [0]
        for _ in range(self.qubits):
            numbers = [4 * number + letter for number in numbers for letter in (0, 3)]
        return numbers
