"""Smoothed curves."""

from __future__ import annotations

import numpy as np

from pkpo.report.curves import smooth


def test_smoothing_by_hand() -> None:
    assert smooth(np.array([1.0, 2.0, 6.0]), 3).tolist() == [1.5, 3.0, 4.0]
    assert smooth(np.array([1.0, np.nan, 6.0]), 3).tolist() == [1.0, 3.5, 6.0]
    assert np.isnan(smooth(np.array([np.nan]), 1)).all()
    assert smooth(np.array([1.0, 3.0]), 5).tolist() == [2.0, 2.0]
