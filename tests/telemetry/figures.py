"""The figures of a server, as numbers by name and labels."""

import asyncio
from typing import Any

import httpx2
from prometheus_client.parser import text_string_to_metric_families

Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def figures_of(client: httpx2.AsyncClient, url: str = "/metrics") -> Figures:
    """Return every figure."""
    response = await client.get(url)
    assert response.status_code == 200, response.text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def figure(figures: Figures, name: str, **labels: str) -> float | None:
    """Return one of them; None where there is none."""
    return figures.get((f"gpt_assistant_{name}", frozenset(labels.items())))


async def until(client: httpx2.AsyncClient, name: str, value: float, **labels: Any) -> None:
    """Wait for a figure to be so."""
    async with asyncio.timeout(10):
        while figure(await figures_of(client), name, **labels) != value:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
