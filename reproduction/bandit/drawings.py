"""The bandit drawn: learning by update, the rewards, and the policies that are learned."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pkpo.report.style import (
    BASE_GREY,
    GRID,
    INK,
    arm_handle,
    arm_style,
    legend_above,
    new_figure,
    percent_axis,
    style_axes,
)
from reproduction.bandit.claims import LABELS, Outcomes
from reproduction.bandit.learning import Learned

_SMALLEST = 1e-6


def bandit_figure(found: Outcomes) -> Figure:
    """Four panels: expected reward and share at the best peak by update, rewards and first
    policy by arm, and final policies by arm."""
    figure = new_figure(9.6, 6.6)
    grid = figure.subplots(2, 2)
    bandit = found.bandit
    _by_update(grid[0, 0], found, "Expected reward", lambda learned: learned.reward(bandit))
    grid[0, 0].set_ylim(0.3, 1.03)
    _by_update(
        grid[1, 0], found, "Chance of the best peak", lambda learned: learned.share_at_best(bandit)
    )
    grid[1, 0].set_ylim(-0.03, 1.03)
    percent_axis(grid[1, 0].yaxis)
    _rewards(grid[0, 1], found)
    _final_policies(grid[1, 1], found)
    handles = [arm_handle(i, LABELS[name], marker=False) for i, name in enumerate(found.sampled)]
    exact = Line2D([], [], color=INK, linestyle=":", linewidth=1.4, label="exact gradient")
    legend_above(figure, [*handles, exact])
    return figure


def _by_update(
    axes: Axes, found: Outcomes, title: str, value: Callable[[Learned], np.ndarray]
) -> None:
    style_axes(axes, title, "update")
    for index, (name, learned) in enumerate(found.sampled.items()):
        style = arm_style(index)
        axes.plot(learned.updates, value(learned), color=style.color, linewidth=0.8, alpha=0.6)
        exact = found.exact[name]
        axes.plot(exact.updates, value(exact), color=INK, linestyle=":", linewidth=1.0)


def _rewards(axes: Axes, found: Outcomes) -> None:
    rewards, first = found.bandit.rewards, found.bandit.first_policy
    arms = np.arange(len(rewards))
    style_axes(axes, "Rewards (grey) and the first policy (line)", "arm", "reward")
    axes.fill_between(arms, rewards, color=GRID, step="mid")
    axes.set_ylim(0.0, 1.05)
    chances = axes.twinx()
    chances.plot(arms, first, color=BASE_GREY, linewidth=1.6, drawstyle="steps-mid")
    chances.set_ylim(0.0, 2.0 * first.max())
    chances.set_ylabel("chance", fontsize=9.5, color=BASE_GREY)
    chances.tick_params(labelsize=9, colors=BASE_GREY, length=3, color=GRID)
    for side in ("top", "left", "bottom", "right"):
        chances.spines[side].set_visible(False)


def _final_policies(axes: Axes, found: Outcomes) -> None:
    style_axes(axes, "Policies after training, mean over seeds", "arm", "chance, log scale")
    for index, learned in enumerate(found.sampled.values()):
        policy = learned.policies[-1].mean(axis=0)
        axes.plot(policy, color=arm_style(index).color, linewidth=1.6)
    axes.set_yscale("log")
    axes.set_ylim(_SMALLEST, 2.0)
