"""The posterior of the shares of a mixture whose components are known."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BURN, SWEEPS = 100, 160
"""Sweeps of the sampler before draws are kept, and after."""
DRAWS = 384
"""Draws kept."""
CELLS = 200_000
"""Members times rows times chains that one sweep goes through, at least 8 chains and at most 32."""
TINY = 1e-300
"""The smallest share: its logarithm is a number."""


def draw_shares(scores: Tensor, concentration: float, seed: int) -> tuple[Tensor, Tensor]:
    r"""Mean (K) and draws (s x K) of w from $p(w | y) \propto Dir(w; \alpha/K) \prod_i \sum_k w_k p_k(y_i)$.

    By Gibbs sampling, exact in the limit: $P(z_i = k) \propto w_k p_k(y_i)$, then $w \sim Dir(\alpha/K + n_k)$ with
    $n_k$ the rows of k. Chains start at draws from $Dir(1)$, so that what the data leave open stays open. With
    $\alpha \le K$ the prior likes few members; with no row it is the answer.

    Args:
        scores: n x K, $\ln p_k(y_i)$.
        concentration: $\alpha$.
        seed: of the draws.

    Diebolt & Robert 1994, doi:10.1111/j.2517-6161.1994.tb01985.x.

    >>> clear = torch.tensor([[0.0, -50.0]]).expand(100, 2).double()
    >>> draw_shares(clear, 1.0, seed=0)[0].round(decimals=2)
    tensor([1., 0.], dtype=torch.float64)
    """
    rng = np.random.default_rng(seed)
    n, members = scores.shape
    prior = np.full(members, concentration / members)
    if not n or members == 1:
        draws = _dirichlet(rng, np.broadcast_to(prior, (DRAWS, members)))
        return scores.new_full((members,), 1 / members).double(), torch.from_numpy(draws)
    relative: NDArray[np.float64] = np.exp((scores - scores.amax(1, keepdim=True)).double().cpu().numpy()).T
    chains = int(np.clip(CELLS // (n * members), 8, 32))
    shares, kept, mean = _dirichlet(rng, np.ones((chains, members))), [], np.zeros(members)
    for sweep in range(BURN + SWEEPS):
        # Members by chains by rows: sums over members go through whole rows of memory.
        reached = np.cumsum(shares.T[:, :, None] * relative[:, None, :], axis=0)
        chosen = (reached < rng.random((chains, n)) * reached[-1]).sum(0)
        rows = np.stack([(chosen == k).sum(1) for k in range(members)], axis=1)
        shares = _dirichlet(rng, prior + rows)
        if sweep >= BURN:
            kept.append(shares)
            mean += (prior + rows).mean(0) / (n + concentration) / SWEEPS
    every = np.concatenate(kept)
    return torch.from_numpy(mean), torch.from_numpy(every[np.linspace(0, len(every) - 1, DRAWS).round().astype(int)])


def _dirichlet(rng: np.random.Generator, parameters: NDArray[np.float64]) -> NDArray[np.float64]:
    """A draw for each row; through logarithms, as the values of small parameters round to 0."""
    # Gamma(a) = Gamma(a + 1) U^(1/a).
    logs = np.log(rng.standard_gamma(parameters + 1)) + np.log(rng.random(parameters.shape)) / parameters
    shares = np.exp(logs - logs.max(1, keepdims=True))
    shares = np.maximum(shares / shares.sum(1, keepdims=True), TINY)
    result: NDArray[np.float64] = shares / shares.sum(1, keepdims=True)
    return result


def draw_largest(scores: Tensor, concentration: float, keep: int | None, seed: int) -> tuple[Tensor, Tensor]:
    """As `draw_shares`; all but the `keep` largest members at (almost) 0."""
    mean, draws = draw_shares(scores, concentration, seed)
    if keep is None or keep >= len(mean):
        return mean, draws
    best = mean.topk(keep).indices.sort().values
    part = draw_shares(scores[:, best], concentration, seed)
    mean, draws = torch.full_like(mean, TINY), torch.full_like(draws, TINY)
    mean[best], draws[:, best] = part
    return mean, draws
