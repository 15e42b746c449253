"""A notebook without the notebook: cells that build on each other, and what each gives."""

import base64
import sys
from pathlib import Path

from e2b_code_interpreter import Sandbox

SALES = "month,region,sales\n1,north,120\n1,south,80\n2,north,135\n2,south,95\n3,north,150\n3,south,70\n"

CELLS = [
    ("python", "import pandas as pd\nsales = pd.read_csv('sales.csv')\nsales.groupby('region', as_index=False).sales.sum()"),
    ("python", "import matplotlib.pyplot as plt\nfor region, rows in sales.groupby('region'):\n"
               "    plt.plot(rows.month, rows.sales, label=region)\nplt.title('Sales by month'); plt.legend()\nplt.show()"),
    ("python", "sales['profit'].sum()"),
    ("python", "int(sales.sales.max())"),
    ("bash", "wc -l < sales.csv"),
    ("javascript", "import { readFile } from 'node:fs/promises'\n(await readFile('sales.csv', 'utf8')).split('\\n')[0].split(',')"),
]


def show(number, execution, directory):
    """Prints what a cell gave, and keeps its pictures."""
    for line in execution.logs.stdout:
        print(f"[{number}] {line}", end="")
    for result in execution.results:
        if result.data:
            print(f"[{number}] a table: {result.data}")
        elif result.chart:
            print(f"[{number}] a {result.chart.type.value} chart, {result.chart.title!r}:")
            for series in result.chart.elements:
                print(f"[{number}]   {series.label}: {[(int(x), int(y)) for x, y in series.points]}")
        elif result.text:
            print(f"[{number}] {result.text}")
        if result.png:
            path = Path(directory) / f"cell-{number}.png"
            path.write_bytes(base64.b64decode(result.png))
            print(f"[{number}] a picture: {path.name}")
    if execution.error:
        print(f"[{number}] {execution.error.name}: {execution.error.value}")


def main(directory="."):
    with Sandbox.create() as sandbox:
        sandbox.files.write("/home/user/sales.csv", SALES)
        for number, (language, code) in enumerate(CELLS, 1):
            show(number, sandbox.run_code(code, language=language), directory)


main(*sys.argv[1:])
