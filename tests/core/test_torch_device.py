"""The path that tensors outside host memory take, run here on CPU tensors.

With a GPU, `test_backends.py` runs on it as well; this keeps the path tested without one.
"""

import numpy as np
import pytest

import pkpo
from pkpo.core import inputs

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def on_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if tensors were elsewhere: nothing is checked, nothing is read."""
    monkeypatch.setattr(inputs, "_view_of_tensor", lambda *_: None)


BASELINES = ("none", "loo", "loo_minus_one", "paper_loo")


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.bool])
@pytest.mark.parametrize("shape", [(8,), (5, 8), (2, 3, 8)])
def test_advantages_equal_numpy(baseline, dtype, shape):
    rewards = np.random.default_rng(0).integers(0, 2, shape)
    given = torch.as_tensor(rewards).to(dtype)
    got = pkpo.advantages(given, 3, baseline=baseline)
    assert got.dtype == (dtype if dtype.is_floating_point else torch.float32)
    want = pkpo.advantages(rewards, 3, baseline=baseline)
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("objective", ["mean", "max@3", "min@2"])
def test_the_host_waits_for_nothing(monkeypatch: pytest.MonkeyPatch, baseline, objective):
    from pretend_gpu import PretendGpu

    gpu = PretendGpu()
    with gpu.present(monkeypatch):
        rewards = torch.rand(5, 8, device="cuda")
        found = pkpo.advantages(rewards, objective, baseline=baseline)
        assert (found.device.type, gpu.waits) == ("cuda", 0)
    np.testing.assert_allclose(
        found, pkpo.advantages(rewards, objective, baseline=baseline), rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize("objective", ["max@4", "min@2", "top_mean(2, 3)", "max@2 + mean"])
def test_estimates_equal_numpy(objective):
    rewards = np.random.default_rng(1).normal(size=(6, 9))
    got = pkpo.estimate(torch.as_tensor(rewards), objective)
    np.testing.assert_allclose(got.numpy(), pkpo.estimate(rewards, objective), rtol=1e-12)


@pytest.mark.parametrize("small_groups", ["shrink", "zero"])
def test_masks_are_not_read(small_groups):
    rng = np.random.default_rng(2)
    rewards, mask = rng.normal(size=(20, 7)), rng.random((20, 7)) < 0.6
    holed = np.where(mask, rewards, np.nan)
    got = pkpo.advantages(
        torch.as_tensor(holed), 3, mask=torch.as_tensor(mask), small_groups=small_groups
    )
    want = pkpo.advantages(rewards, 3, mask=mask, small_groups=small_groups)
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-12, atol=1e-15)


def test_masks_of_small_groups_raise_when_asked():
    mask = torch.tensor([[True, True, True], [True, False, False]])
    with pytest.raises(pkpo.UndefinedEstimateError, match="group 1 has 1 samples"):
        pkpo.advantages(torch.rand(2, 3), 2, mask=mask)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_bad_reward_spoils_its_own_group_alone(bad):
    rewards = torch.rand(4, 6, dtype=torch.float64)
    clean = pkpo.advantages(rewards, 3)
    rewards[2, 1] = bad
    got = pkpo.advantages(rewards, 3)
    assert torch.isnan(got[2]).all()
    keep = torch.tensor([0, 1, 3])
    assert torch.equal(got[keep], clean[keep])
    assert torch.isnan(pkpo.estimate(rewards, 3)[2])
    with pytest.raises(pkpo.InvalidInputError, match=r"rewards\[2, 1\] is"):
        pkpo.advantages(rewards, 3, validate=True)


def test_labelled_groups():
    rng = np.random.default_rng(3)
    rewards, labels = rng.normal(size=30), rng.permutation(np.repeat([5, 1, 9], [12, 8, 10]))
    got = pkpo.advantages(torch.as_tensor(rewards), 4, groups=torch.as_tensor(labels))
    want = pkpo.advantages(rewards, 4, groups=labels)
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-12, atol=1e-15)


def test_no_gradient_flows():
    rewards = torch.rand(3, 5, requires_grad=True)
    assert not pkpo.advantages(rewards, 2).requires_grad
