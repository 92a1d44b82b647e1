r"""Probabilistic movement primitive: a Gaussian over the weights of bumps, conditioned on the context.

.. math:: y(z) = \Phi(z)^T w, \qquad (w, c) \sim \mathcal N(\mu, \Sigma), \qquad
          \mathrm E[w \mid c] = \mu_w + \Sigma_{wc} (\Sigma_{cc} + \lambda I)^{-1} (c - \mu_c)

Paraschos et al., "Probabilistic movement primitives", NIPS 2013; conditioning on what is observed of the
scene as Maeda et al., "Probabilistic movement primitives for coordination", Autonomous Robots 2017.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from il_core.geometry import Array
from il_policy.head_config import PrimitiveConfig
from il_policy.primitives.base import Primitive, ridge

CONTEXT_RIDGE = 1e-3  # of the context's variance: with a handful of demonstrations it is not well known


class ProMp(Primitive):
    """Mean trajectory, and how it moves with the context."""

    NAMES: ClassVar[tuple[str, ...]] = ("weight_mean", "gain", "context_mean", "residual_cov")

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        """Take fitted arrays; those of release 0.1 say how much each weight varies, and not how they do together."""
        known = dict(arrays)
        if "residual_std" in known:
            std = known.pop("residual_std")
            known["residual_cov"] = np.einsum("kd,kl->dkl", std**2, np.eye(len(std)))
        super().__init__(known)

    @staticmethod
    def basis(phase: Array, count: int) -> Array:
        """Normalised bumps at equal steps of phase in [0, 1], (S, K)."""
        centres = np.linspace(0.0, 1.0, count)
        psi = np.exp(-0.5 * ((phase[:, None] - centres) * (count - 1)) ** 2)
        return np.asarray(psi / psi.sum(1, keepdims=True))

    @classmethod
    def fit(cls, contexts: Array, trajectories: Array, config: PrimitiveConfig, seed: int) -> ProMp:
        """Weights of each demonstration by ridge regression, then their joint Gaussian with the context."""
        m, samples, dims = trajectories.shape
        basis = cls.basis(np.linspace(0.0, 1.0, samples), config.basis)
        weights = np.array([ridge(basis, y, config.ridge).ravel() for y in trajectories])  # (M, K D)
        w_mean, c_mean = weights.mean(0), contexts.mean(0)
        w, c = weights - w_mean, contexts - c_mean
        noise = CONTEXT_RIDGE * max(float((c**2).sum()), 1e-9) / c.shape[1]
        gain = ridge(c, w, noise)  # (C, K D)
        left = (w - c @ gain).reshape(m, config.basis, dims)
        return cls(
            {
                "weight_mean": w_mean.reshape(config.basis, dims),
                "gain": gain,
                "context_mean": c_mean,
                "residual_cov": np.einsum("mkd,mld->dkl", left, left) / m,
            }
        )

    def plan(self, context: Array, samples: int) -> Array:
        """Mean trajectory given the context."""
        a = self.arrays
        mean = a["weight_mean"] + ((context - a["context_mean"]) @ a["gain"]).reshape(a["weight_mean"].shape)
        return np.asarray(self.basis(np.linspace(0.0, 1.0, samples), len(mean)) @ mean)

    def std(self, samples: int) -> Array:
        r"""Spread of demonstrations that the context does not explain, (samples, D).

        .. math:: \sigma_d(z)^2 = \Phi(z)^T \Sigma_d \Phi(z)
        """
        covariance = self.arrays["residual_cov"]  # (D, K, K): of the weights of each dimension, given the context
        basis = self.basis(np.linspace(0.0, 1.0, samples), covariance.shape[1])
        return np.asarray(np.sqrt(np.einsum("sk,dkl,sl->sd", basis, covariance, basis).clip(min=0.0)))
