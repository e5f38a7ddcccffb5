"""Results as plain data: what JSON, CSV and data frames hold. docs/eval.md lists the fields."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from pkpo.evaluate.intervals import Interval
from pkpo.evaluate.solve_probabilities import Measured, SolveProbabilities

if TYPE_CHECKING:
    from pkpo.evaluate.compare import Comparison
    from pkpo.evaluate.differences import Contrast, Difference
    from pkpo.evaluate.estimates import Evaluation, Row
    from pkpo.evaluate.extrapolate import Extrapolation
    from pkpo.evaluate.moved import Moved
    from pkpo.evaluate.read import ReadResult

Record = dict[str, Any]
EVALUATION_SCHEMA = "pkpo-eval-1"
COMPARISON_SCHEMA = "pkpo-compare-1"


def evaluation_rows(evaluation: Evaluation) -> list[Record]:
    """One flat record an objective."""
    return [
        {
            "name": row.name,
            "objective": str(row.objective),
            "k": row.k,
            "value": number(row.value),
            "num_problems": row.num_problems,
            "num_dropped": row.num_dropped,
            **_flat("fixed", row.fixed),
            **_flat("population", row.population),
            "note": row.note,
        }
        for row in evaluation.rows
    ]


def comparison_rows(comparison: Comparison) -> list[Record]:
    """One flat record a run and objective."""
    return [
        {
            **_difference_head(d),
            **_flat_contrast("fixed", d.fixed),
            **_flat_contrast("population", d.population),
        }
        for d in comparison.differences
    ]


def evaluation_record(evaluation: Evaluation) -> Record:
    """The evaluation, nested."""
    return {
        "schema": EVALUATION_SCHEMA,
        "source": evaluation.source,
        "num_problems": evaluation.num_problems,
        "num_samples": evaluation.num_samples,
        "confidence": evaluation.confidence,
        "simultaneous": evaluation.simultaneous,
        "estimates": [_row(row) for row in evaluation.rows],
    }


def comparison_record(comparison: Comparison) -> Record:
    """The comparison, nested."""
    return {
        "schema": COMPARISON_SCHEMA,
        "baseline": comparison.baseline,
        "runs": list(comparison.runs),
        "num_problems": comparison.num_problems,
        "num_unmatched": comparison.num_unmatched,
        "confidence": comparison.confidence,
        "differences": [_difference(d) for d in comparison.differences],
        "crossings": [
            {**asdict(c), "estimated_at": list(c.estimated_at)} for c in comparison.crossings
        ],
        "moved": [_moved(moved) for moved in comparison.moved],
    }


def reading_record(result: ReadResult) -> Record:
    """What was read and what was left out."""
    return {
        "files": [str(file) for file in result.files],
        "format": result.format,
        "num_bad": result.num_bad,
        "bad_lines": [
            {"path": str(bad.path), "place": bad.place, "reason": bad.reason}
            for bad in result.bad_lines
        ],
        "notes": list(result.notes),
    }


def samples_record(samples: Measured) -> Record:
    """How many samples, and every problem's number and mean reward."""
    if isinstance(samples, SolveProbabilities):
        return {
            "num_problems": len(samples.problems),
            "solve_probabilities": "exact",
            "problems": [
                {"problem": problem, "solve_probability": float(chance)}
                for problem, chance in zip(samples.problems, samples.mean_rewards_P)
            ],
        }
    means = samples.mean_rewards_P
    clusters = samples.clusters_P
    problems = [
        {"problem": problem, "num_samples": int(size), "mean_reward": float(mean)}
        for problem, size, mean in zip(samples.problems, samples.sizes_P, means)
    ]
    if clusters is not None:
        problems = [p | {"cluster": cluster} for p, cluster in zip(problems, clusters)]
    return {
        "num_problems": len(samples.problems),
        "num_samples": samples.num_samples,
        "samples_per_problem": {
            "min": int(samples.sizes_P.min()),
            "median": float(np.median(samples.sizes_P)),
            "max": int(samples.sizes_P.max()),
        },
        "rewards": "0/1" if samples.binary else "numbers",
        "num_clusters": None if clusters is None else len(set(clusters)),
        "problems": problems,
    }


def extrapolation_record(extrapolation: Extrapolation) -> Record:
    """What a model of the solve rates says."""
    return {
        "model": extrapolation.model,
        "assumptions": extrapolation.assumptions,
        "confidence": extrapolation.confidence,
        "largest_n": extrapolation.largest_n,
        "values": [
            {"k": k, "value": number(value), "lower": number(low), "upper": number(high)}
            for k, value, low, high in zip(
                extrapolation.ks, extrapolation.values, extrapolation.lower, extrapolation.upper
            )
        ],
    }


def number(value: float) -> float | None:
    """None, JSON's null, for what isn't finite."""
    return float(value) if math.isfinite(value) else None


def _interval(interval: Interval) -> Record:
    return {
        "kind": interval.kind,
        "lower": number(interval.lower),
        "upper": number(interval.upper),
        "confidence": interval.confidence,
        "standard_error": number(interval.standard_error),
        "method": interval.method,
        "note": interval.note,
    }


def _flat(prefix: str, interval: Interval) -> Record:
    return {f"{prefix}_{name}": value for name, value in _interval(interval).items()}


def _contrast(contrast: Contrast) -> Record:
    return {
        "interval": _interval(contrast.interval),
        "simultaneous": _interval(contrast.simultaneous),
        "p": number(contrast.p),
        "adjusted_p": number(contrast.adjusted_p),
    }


def _flat_contrast(prefix: str, contrast: Contrast) -> Record:
    single, together = contrast.interval, contrast.simultaneous
    return {
        f"{prefix}_kind": single.kind,
        f"{prefix}_lower": number(single.lower),
        f"{prefix}_upper": number(single.upper),
        f"{prefix}_simultaneous_lower": number(together.lower),
        f"{prefix}_simultaneous_upper": number(together.upper),
        f"{prefix}_standard_error": number(single.standard_error),
        f"{prefix}_p": number(contrast.p),
        f"{prefix}_adjusted_p": number(contrast.adjusted_p),
        f"{prefix}_note": single.note,
    }


def _row(row: Row) -> Record:
    return {
        "name": row.name,
        "objective": str(row.objective),
        "k": row.k,
        "value": number(row.value),
        "num_problems": row.num_problems,
        "num_dropped": row.num_dropped,
        "fixed": _interval(row.fixed),
        "population": _interval(row.population),
        "note": row.note,
    }


def _difference_head(d: Difference) -> Record:
    return {
        "run": d.run,
        "baseline": d.baseline,
        "name": d.name,
        "objective": str(d.objective),
        "k": d.k,
        "value": number(d.value),
        "baseline_value": number(d.baseline_value),
        "difference": number(d.difference),
        "num_problems": d.num_problems,
        "num_dropped": d.num_dropped,
    }


def _difference(d: Difference) -> Record:
    return {
        **_difference_head(d),
        "fixed": _contrast(d.fixed),
        "population": _contrast(d.population),
    }


def _moved(moved: Moved) -> Mapping[str, Any]:
    return {
        "run": moved.run,
        "baseline": moved.baseline,
        "false_discovery_rate": moved.false_discovery_rate,
        "num_problems": moved.num_problems,
        "gained": [asdict(problem) for problem in moved.gained],
        "lost": [asdict(problem) for problem in moved.lost],
    }
