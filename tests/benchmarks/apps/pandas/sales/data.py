# mypy: ignore-errors
"""A table that is made, and looked through, while the project is loaded."""

import numpy as np
import pandas as pd

RANDOM = np.random.default_rng(1)
DAYS = pd.date_range("2026-01-01", periods=365)
SALES = pd.DataFrame(
    {
        "day": np.tile(DAYS, 100),
        "shop": np.repeat(np.arange(100), len(DAYS)),
        "sold": RANDOM.poisson(20, 100 * len(DAYS)),
    }
)
LIKE = np.linalg.svd(SALES.pivot_table(index="day", columns="shop", values="sold"))[1]
