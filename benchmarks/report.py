"""Formats the figures as a page, and plots how the listings grow."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.measure import Line


def summary(lines: Sequence[Line]) -> str:
    """Return a table with one row per target: the ratio and whether it is met."""
    rows = ["| work | this package | target | |", "| --- | --- | --- | --- |"]
    for line in lines:
        for label, target in line.targets.items():
            if (ratio := line.ratio(label)) is None:
                continue
            sign = ">=" if line.more_is_better else "<="
            of = line.title if len(line.targets) == 1 else f"{line.title}: {label}"
            rows.append(f"| {of} | {ratio:.2f} | {sign} {target:g} | {_verdict(line, label)} |")
    return "\n".join(rows)


def details(line: Line) -> str:
    """Return a section with every subject's figures for one line."""
    measured = any(figure.client for figure in line.figures)
    processors = " processor time: client | server |" if measured else ""
    rows = [
        f"### {line.title[0].upper()}{line.title[1:]}",
        "",
        f"| | median, {line.unit} | p95 | ratio |{processors}",
        f"| --- | ---: | ---: | ---: |{' ---: | ---: |' if measured else ''}",
    ]
    for figure in line.figures:
        ratio = line.ratio(figure.label)
        p95 = f"{figure.p95 * line.scale:,.{_digits(line, figure.p95)}f}" if len(figure.samples) > 4 else ""
        rows.append(
            f"| {figure.label} | {figure.median * line.scale:,.{_digits(line, figure.median)}f} | {p95} "
            f"| {'' if ratio is None else f'{ratio:.2f}'} |"
            + "".join(f" {_mean(line, used)} |" for used in (figure.client, figure.server) if measured)
        )
    missed = any(line.met(label) is False for label in line.targets)
    shortfall = ["", f"Why it is missed: {line.shortfall}"] if line.shortfall and missed else []
    return "\n".join([*rows, "", *line.notes, *shortfall]).rstrip()


def growth(lines: Sequence[Line], file: Path) -> None:
    """Plot `list_sessions` over the number of entries."""
    import matplotlib as mpl  # noqa: PLC0415 - only this needs it, and it is slow to import

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the backend is chosen

    series: dict[str, list[tuple[int, float]]] = {}
    for line in lines:
        entries = int(line.title.rsplit(", ", 1)[1].split()[0].replace(",", ""))
        for figure in line.figures:
            series.setdefault(figure.label, []).append((entries, figure.median * 1000))
    shape, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for label, points in series.items():
        axes.plot(*zip(*sorted(points), strict=True), marker="o", label=label)
    axes.set(xscale="log", yscale="log", xlabel="entries in the project's 1,000 sessions", ylabel="ms")
    axes.set_title("list_sessions, median")
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend(fontsize=8)
    shape.savefig(file, dpi=150)


def page(
    heading: str, lines: Sequence[Line], missing: Mapping[str, str], equivalents: Mapping[str, str]
) -> str:
    """Return the whole page."""
    picture = "![list_sessions over the number of entries, for each store](listing-growth.png)"
    parts = [heading, "## Against the targets", summary(lines), picture, "## Every figure"]
    parts += [details(line) for line in lines]
    parts += ["## What each subject ran", *(f"- {name}: {what}." for name, what in equivalents.items())]
    parts += [f"- {name} did not run: {why}." for name, why in missing.items()]
    return "\n\n".join(parts) + "\n"


def _verdict(line: Line, label: str) -> str:
    target, ratio = line.targets[label], line.ratio(label)
    if line.met(label) or ratio is None:
        return "met"
    factor = target / ratio if line.more_is_better else ratio / target
    return f"missed by a factor of {factor:.2f}"


def _mean(line: Line, used: Sequence[float]) -> str:
    if not used:
        return ""
    mean = statistics.mean(used)
    return f"{mean * 1000:,.{_digits(line, mean)}f} ms"


def _digits(line: Line, value: float) -> int:
    size = value * line.scale
    return 0 if size >= 1000 else 1 if size >= 10 else 2
