"""Makes the tables of the example configs from public data sets that you bring.

    python examples/tables.py FOLDER

FOLDER holds what can be downloaded from the UCI repository (archive.ics.uci.edu), in these places:

    census_income_kdd/census-income.test.gz, loader_columns.txt    Census-Income (KDD), data set 117, its test part; the columns' names
    credit_default/credit_default.parquet                          Default of Credit Card Clients, data set 350
    heart_disease/heart.csv                                        Heart Disease, data set 45, four hospitals in one file, column `site`
    parkinsons_tele/parkinsons_updrs.csv                           Parkinsons Telemonitoring, data set 189

The tables are written to examples/data/, beside the configs that read them. A set that is not there is left out, and that is said.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl

COLLEGE = (
    "Some college but no degree",
    "Associates degree-occup /vocational",
    "Associates degree-academic program",
    "Bachelors degree(BA AB BS)",
    "Masters degree(MA MS MEng MEd MSW MBA)",
    "Prof school degree (MD DDS DVM LLB JD)",
    "Doctorate degree(PhD EdD)",
)
AMOUNTS = ("wage_per_hour", "capital_gains", "capital_losses", "stock_dividends", "num_emp", "weeks_worked")


def census(folder: Path) -> pl.DataFrame:
    """Income over 50,000, never married, some college or more.

    What gives a target away in so many words is taken out, and with it the survey's own weight: `education`, `marital_stat`,
    `instance_weight`.
    """
    names = (folder / "census_income_kdd" / "loader_columns.txt").read_text("utf-8").split()
    file = folder / "census_income_kdd" / "census-income.test.gz"
    frame = pl.read_csv(file, has_header=False, new_columns=names, null_values=["?", " ?"], infer_schema_length=None)
    frame = frame.with_columns(pl.col(pl.String).str.strip_chars()).with_columns(pl.col(AMOUNTS).cast(pl.Float64))
    return frame.with_columns(
        income=pl.col("income_50k").replace_strict({"- 50000.": "no", "50000+.": "yes"}),
        never_married=yes_no(pl.col("marital_stat") == "Never married"),
        college=yes_no(pl.col("education").is_in(COLLEGE)),
    ).drop("income_50k", "marital_stat", "education", "instance_weight")


def credit(folder: Path) -> pl.DataFrame:
    """Default next month; last month's status of payment; last month's payment: from the months before.

    `PAY_0`, `BILL_AMT1` and `PAY_AMT1` belong to the last month, so they are targets or are taken out. Status: -2 nothing due, -1 paid
    in full, 0 revolving, then months behind, 2 standing for two or more. Payment: log(1 + dollars), because a few payments are huge.
    """
    frame = pl.read_parquet(folder / "credit_default" / "credit_default.parquet")
    status = (
        pl.col("PAY_0")
        .clip(-2, 2)
        .replace_strict({-2: "nothing due", -1: "paid", 0: "revolving", 1: "1 behind", 2: "2 behind"})
    )
    return frame.with_columns(
        default=yes_no(pl.col("Default") == 1), last_status=status, last_payment=pl.col("PAY_AMT1").log1p()
    ).drop("ID", "Default", "PAY_0", "BILL_AMT1", "PAY_AMT1")


def heart(folder: Path) -> pl.DataFrame:
    """Disease yes or no at four hospitals; its grade 0 to 4 where it was graded (two of the four).

    The copies of this set that go around differ in their codes. Rows of Cleveland with chest pain coded from 0 come from the one in
    which `num` is 1 for a healthy heart and several codes are renumbered; they are put back to the codes of the original description.
    A cholesterol or blood pressure of 0 means not measured.
    """
    frame = pl.read_csv(folder / "heart_disease" / "heart.csv")
    recoded = frame.filter(site="cleveland")["cp"].min() == 0
    here = (pl.col("site") == "cleveland") & pl.lit(recoded)

    def original(column: str, codes: dict[int, int | None]) -> pl.Expr:
        return pl.when(here).then(pl.col(column).replace(codes)).otherwise(pl.col(column)).alias(column)

    frame = frame.with_columns(
        original("num", {0: 1, 1: 0}),
        original("cp", {0: 4, 1: 2, 2: 3, 3: 1}),
        original("restecg", {0: 2, 1: 0, 2: 1}),
        original("slope", {0: 3, 1: 2, 2: 1}),
        original("ca", {4: None}),
        original("thal", {0: None, 1: 6, 2: 3, 3: 7}),
        *(pl.when(pl.col(name) > 0).then(pl.col(name)).alias(name) for name in ("chol", "trestbps")),
    )
    graded = pl.col("site").is_in(["switzerland", "va"])
    return frame.with_columns(disease=yes_no(pl.col("num") > 0), grade=pl.when(graded).then(pl.col("num"))).drop("num")


def parkinsons(folder: Path) -> pl.DataFrame:
    """Motor and total UPDRS from voice recordings at home, 42 subjects; the split must keep a subject's rows together."""
    return pl.read_csv(folder / "parkinsons_tele" / "parkinsons_updrs.csv").rename({"subject#": "subject"})


def yes_no(condition: pl.Expr) -> pl.Expr:
    """The labels yes and no."""
    return pl.when(condition).then(pl.lit("yes")).otherwise(pl.lit("no"))


TABLES: dict[str, Callable[[Path], pl.DataFrame]] = {
    "census": census,
    "credit_default": credit,
    "heart_disease": heart,
    "parkinsons_tele": parkinsons,
}


def make(folder: Path, into: Path) -> list[Path]:
    """Write every table whose source is in `folder`; the paths written."""
    into.mkdir(parents=True, exist_ok=True)
    written = []
    for name, table in TABLES.items():
        try:
            frame = table(folder)
        except FileNotFoundError as error:
            print(f"{name}: left out, {error}")
            continue
        path = into / f"{name}.parquet"
        frame.write_parquet(path)
        print(f"{name}: {frame.height} rows x {frame.width} columns -> {path}")
        written.append(path)
    return written


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    make(Path(sys.argv[1]), Path(__file__).parent / "data")
