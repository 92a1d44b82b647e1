r"""Gaussian mixture regression: a mixture over phase, context and trajectory, asked for the last given the first two.

.. math:: \mathrm E[y \mid x] = \sum_k h_k(x)\,\big(\mu_k^y + \Sigma_k^{yx} (\Sigma_k^{xx})^{-1} (x - \mu_k^x)\big),
          \qquad h_k(x) \propto \pi_k\,\mathcal N(x; \mu_k^x, \Sigma_k^{xx}), \qquad x = (z, c)

Ghahramani and Jordan, "Supervised learning from incomplete data via an EM approach", 1994; Calinon et al.,
"On learning, representing and generalizing a task in a humanoid robot", 2007. The mixture is fitted by the
library ``gmr`` (Fabisch, JOSS 2021); the regression is here, so that serving needs no such library.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from il_core.errors import ConfigError
from il_core.geometry import Array
from il_policy.head_config import PrimitiveConfig
from il_policy.primitives.base import Primitive

MIN_SCALE = 1e-4  # a column that moves less keeps its unit
ROUNDS = 100  # of expectation maximisation


class Gmr(Primitive):
    """Mixture in standardised units."""

    NAMES: ClassVar[tuple[str, ...]] = ("priors", "means", "covariances", "centre", "scale", "inputs")

    @classmethod
    def fit(cls, contexts: Array, trajectories: Array, config: PrimitiveConfig, seed: int) -> Gmr:
        """Expectation maximisation from slices of the phase.

        Raises:
            ConfigError: the library is not installed.
        """
        try:
            from gmr import GMM
        except ImportError as error:
            raise ConfigError("head gmr", "needs the library 'gmr': pip install gmr") from error
        m, samples, dims = trajectories.shape
        phase = np.tile(np.linspace(0.0, 1.0, samples), m)
        rows = np.column_stack([phase, np.repeat(contexts, samples, axis=0), trajectories.reshape(-1, dims)])
        centre, spread = rows.mean(0), rows.std(0)
        scale = np.where(spread < MIN_SCALE, 1.0, spread)
        z = (rows - centre) / scale
        slices = np.minimum((phase * config.basis).astype(int), config.basis - 1)
        floor = max(config.ridge, 1e-4) * np.eye(z.shape[1])
        means = np.array([z[slices == k].mean(0) for k in range(config.basis)])
        covariances = np.array([np.cov(z[slices == k].T) + floor for k in range(config.basis)])
        priors = np.full(config.basis, 1.0 / config.basis)
        mixture = GMM(config.basis, priors, means, covariances, random_state=np.random.RandomState(seed))
        mixture.from_samples(z, n_iter=ROUNDS, init_params="kmeans++")
        covariances = mixture.covariances + floor
        return cls(
            {
                "priors": mixture.priors,
                "means": mixture.means,
                "covariances": covariances,
                "centre": centre,
                "scale": scale,
                "inputs": np.array([1.0 + contexts.shape[1]]),
            }
        )

    def plan(self, context: Array, samples: int) -> Array:
        """Expected trajectory given phase and context."""
        a = self.arrays
        n = int(a["inputs"][0])
        phase = np.linspace(0.0, 1.0, samples)
        x = np.column_stack([phase, np.tile(context, (samples, 1))])
        x = (x - a["centre"][:n]) / a["scale"][:n]
        log_h, expected = [], []
        for prior, mean, cov in zip(a["priors"], a["means"], a["covariances"], strict=True):
            solved = np.linalg.solve(cov[:n, :n], (x - mean[:n]).T).T  # (S, n)
            _, log_det = np.linalg.slogdet(cov[:n, :n])
            log_h.append(np.log(max(prior, 1e-300)) - 0.5 * (log_det + ((x - mean[:n]) * solved).sum(1)))
            expected.append(mean[n:] + solved @ cov[:n, n:])
        h = np.exp(np.array(log_h) - np.max(log_h, axis=0))
        y = np.einsum("ks,ksd->sd", h / h.sum(0), np.array(expected))
        return np.asarray(y * a["scale"][n:] + a["centre"][n:])
