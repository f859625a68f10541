"""Makes the tables of the example configs from public data sets that you bring.

    python examples/tables.py FOLDER

FOLDER holds what can be downloaded from the UCI repository (archive.ics.uci.edu), in these places:

    census_income_kdd/census-income.test.gz, loader_columns.txt    Census-Income (KDD), data set 117, its test part; the columns' names
    credit_default/credit_default.parquet                          Default of Credit Card Clients, data set 350
    heart_disease/heart.csv                                        Heart Disease, data set 45, four hospitals in one file, column `site`
    parkinsons_tele/parkinsons_updrs.csv                           Parkinsons Telemonitoring, data set 189
    occupancy/datatraining.txt, datatest.txt, datatest2.txt        Occupancy Detection, data set 357
    bike_sharing/hour.csv                                          Bike Sharing, data set 275
    cifar10_sub/train.parquet, test.parquet                        pictures of CIFAR-10 (cs.toronto.edu/~kriz/cifar.html) as image bytes and label,
                                                                   or the makers' own cifar-10-batches-py in FOLDER
    mulan_mtr/atp1d.arff, jura.arff, oes97.arff, ...               multi-target regression sets of the Mulan project (mulan.sourceforge.net)

The tables are written to examples/data/, beside the configs that read them. A set that is not there is left out, and that is said.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl

from cotrain.data.read import read_table

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


AHEAD = 15
"""Minutes between what is measured and what is to be foretold in the office room; rows are a minute apart."""


def occupancy(folder: Path) -> pl.DataFrame:
    """An office room: is somebody in, and temperature, humidity and CO2 a quarter of an hour from now.

    `Light` is taken out: a lamp that people switch on says who is in. From each of the three sensors: its value now, and how it changed
    over 5 and 15 minutes. The two test files are the test rows; of the training file the last fifth chooses when to stop.
    """
    parts = []
    for file, split in (("datatraining", "train"), ("datatest", "test"), ("datatest2", "test")):
        path = folder / "occupancy" / f"{file}.txt"
        rows = pl.read_csv(
            path, has_header=False, skip_rows=1, new_columns=["row", "date", *OFFICE, "HumidityRatio", "Occupancy"]
        )
        when = pl.col("date").str.to_datetime("%Y-%m-%d %H:%M:%S")
        senses = [pl.col(name) for name in OFFICE if name != "Light"]
        rows = (
            rows.with_columns(when)
            .sort("date")
            .with_columns(
                *(
                    (one - one.shift(back)).alias(f"{one.meta.output_name()}_change_{back}")
                    for one in senses
                    for back in (5, 15)
                ),
                *(one.shift(-AHEAD).alias(f"next_{one.meta.output_name()}") for one in senses),
                hour=pl.col("date").dt.hour() + pl.col("date").dt.minute() / 60,
                weekend=yes_no(pl.col("date").dt.weekday() > 5),
                occupied=yes_no(pl.col("Occupancy") == 1),
            )
        )
        last = rows.height * 4 // 5
        where = pl.when(pl.int_range(pl.len()) < last).then(pl.lit("train")).otherwise(pl.lit("valid"))
        parts.append(rows.with_columns(split=where if split == "train" else pl.lit(split)))
    return pl.concat(parts).drop("row", "date", "Light", "Occupancy")


OFFICE = ("Temperature", "Humidity", "Light", "CO2")


def bikes(folder: Path) -> pl.DataFrame:
    """Hourly hires of bicycles by casual and by registered riders, and how the weather was called, from the calendar and four sensors.

    Riders: log(1 + number), so that the error is the RMSLE that this set is judged by. Days 1 to 15 of a month train, 16 to 19 choose when
    to stop, those from the 20th on test. The number of all riders is the sum of two targets, and taken out.
    """
    frame = pl.read_csv(folder / "bike_sharing" / "hour.csv")
    day = pl.col("dteday").str.to_date("%m/%d/%Y").dt.day()
    split = pl.when(day <= 15).then(pl.lit("train")).when(day < 20).then(pl.lit("valid")).otherwise(pl.lit("test"))
    weather = {1: "clear", 2: "mist", 3: "rain or snow", 4: "rain or snow"}
    return frame.with_columns(
        split=split,
        log_casual=pl.col("casual").log1p(),
        log_registered=pl.col("registered").log1p(),
        weather=pl.col("weathersit").replace_strict(weather),
    ).drop("instant", "dteday", "casual", "registered", "cnt", "weathersit")


MULAN = {"atp1d": 6, "jura": 3, "oes97": 16, "scpf": 3, "slump": 3, "wq": 14}
"""How many of the last columns are targets."""


def mulan(name: str) -> Callable[[Path], pl.DataFrame]:
    """One of the Mulan project's sets; its targets are the last columns, here named `target_...`."""

    def table(folder: Path) -> pl.DataFrame:
        from scipy.io import arff

        text = (folder / "mulan_mtr" / f"{name}.arff").read_text("utf-8")
        rows, _ = arff.loadarff(io.StringIO(text))
        columns = {
            word: rows[word].astype(str) if rows[word].dtype.kind == "S" else rows[word] for word in rows.dtype.names
        }
        targets = list(columns)[-MULAN[name] :]
        return pl.DataFrame(columns).rename({word: f"target_{word}" for word in targets})

    return table


VEHICLES = ("airplane", "automobile", "ship", "truck")
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def cifar10(folder: Path) -> pl.DataFrame:
    """A picture's class of ten, and whether it shows an animal or a vehicle. Every twentieth training picture validates."""
    if (folder / "cifar-10-batches-py").is_dir():
        frame = read_table(folder / "cifar-10-batches-py").frame
    else:
        parts = {split: pl.read_parquet(folder / "cifar10_sub" / f"{split}.parquet") for split in ("train", "test")}
        frame = pl.concat([part.with_columns(split=pl.lit(split)) for split, part in parts.items()])
        frame = frame.select("split", picture="image", label=pl.col("label").replace_strict(dict(enumerate(CLASSES))))
    place = pl.int_range(pl.len()).over("split")
    return frame.with_columns(
        kind=pl.when(pl.col("label").is_in(VEHICLES)).then(pl.lit("vehicle")).otherwise(pl.lit("animal")),
        split=pl.when((pl.col("split") == "train") & (place % 20 == 19))
        .then(pl.lit("valid"))
        .otherwise(pl.col("split")),
    )


def yes_no(condition: pl.Expr) -> pl.Expr:
    """The labels yes and no."""
    return pl.when(condition).then(pl.lit("yes")).otherwise(pl.lit("no"))


TABLES: dict[str, Callable[[Path], pl.DataFrame]] = {
    "census": census,
    "credit_default": credit,
    "heart_disease": heart,
    "parkinsons_tele": parkinsons,
    "occupancy": occupancy,
    "bike_sharing": bikes,
    "cifar10": cifar10,
    **{name: mulan(name) for name in MULAN},
}


def write(tables: Mapping[str, Callable[[Path], pl.DataFrame]], folder: Path, into: Path) -> list[Path]:
    """Write every table whose source is in `folder`; the paths written."""
    into.mkdir(parents=True, exist_ok=True)
    written = []
    for name, table in tables.items():
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


def make(folder: Path, into: Path) -> list[Path]:
    """Write the tables of this script."""
    return write(TABLES, folder, into)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    make(Path(sys.argv[1]), Path(__file__).parent / "data")
