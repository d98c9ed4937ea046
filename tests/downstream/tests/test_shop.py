"""The tests of the shop, by the fixture of asyncreload."""

from __future__ import annotations

import pytest

from asyncreload.testing import Layout

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("number", range(2))
async def test_price(supervised: Layout, number: int) -> None:
    async with supervised("..", "shop.wsgi:app") as shop:
        assert (await shop.get("/milk")).text == "2"
        await shop.write("shop/prices.py", f"PRICES = {{'milk': {number}}}\n")
        assert (await shop.get("/milk")).text == str(number)
        ready = await shop.fresh()
        assert ready.paths == (str(shop.directory / "shop" / "prices.py"),)
        assert shop.output.count("asked for /milk") == 2


async def test_broken_save_is_answered_with_the_reason(supervised: Layout) -> None:
    async with supervised("..", "shop.wsgi:app") as shop:
        await shop.write("shop/prices.py", "PRICES = {")
        answer = await shop.get("/milk")
        assert answer.status == 500
        assert "SyntaxError" in answer.text
        with pytest.raises(AssertionError, match="the app is not loaded"):
            await shop.fresh()
