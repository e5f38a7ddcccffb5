"""verl's advantages and loss, by enumeration: ours, and its own."""

from __future__ import annotations

import pytest

from pkpo.engines.audit import audit
from pkpo.engines.verl.audit import path, paths

EXACT_LOSSES = ["vanilla", "gpg", "gspo", "cispo", "dppo_tv", "dppo_kl", "dro", "kl_cov"]


def test_max_at_2() -> None:
    assert audit(path("max@2"), "max@2").verdict == "exact"


@pytest.mark.parametrize("name", paths("mean"))
def test_allowed_modes(name: str) -> None:
    verdict = audit(paths("mean")[name], "mean").verdict
    factor = {"seq-mean-token-sum-norm": "0.1", "token-sum": "4"}.get(name)
    assert verdict == (f"exact up to a constant factor {factor}" if factor else "exact")


@pytest.mark.parametrize("loss_mode", EXACT_LOSSES)
def test_allowed_losses(loss_mode: str) -> None:
    assert audit(path("mean", loss_mode=loss_mode), "mean", sizes=(2, 2)).is_exact


@pytest.mark.parametrize("loss_mode", ["sapo", "geo_mean", "clip_cov"])
def test_refused_losses(loss_mode: str) -> None:
    refused = path("mean", loss_mode=loss_mode, accept_bias=["loss_mode"])
    assert not audit(refused, "mean", sizes=(2, 2)).is_constant


@pytest.mark.parametrize("mode", ["token-mean", "seq-mean-token-mean"])
def test_refused_modes(mode: str) -> None:
    refused = path("mean", loss_agg_mode=mode, accept_bias=["loss_agg_mode"])
    assert not audit(refused, "mean", sizes=(2, 2)).is_constant


def test_estimators_of_verl() -> None:
    assert audit(path("", estimator="rloo"), "mean", sizes=(2, 2)).is_exact
    dr_grpo = audit(path("", estimator="grpo", divided_by_std=False), "mean", sizes=(2, 2))
    assert dr_grpo.verdict == "exact up to a constant factor 0.5"
    assert not audit(path("", estimator="grpo"), "mean", sizes=(2, 2)).is_constant
    assert not audit(path("", estimator="grpo_passk"), "max@2", sizes=(3, 3)).is_constant
