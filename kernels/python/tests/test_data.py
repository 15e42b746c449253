"""Tables, figures and images: what the libraries of data work show."""

import base64
import os
import sys
import tempfile
import unittest
from importlib.util import find_spec

from tests.driver import KernelCase

PNG = b"\x89PNG\r\n"


def needs(*packages):
    missing = [name for name in packages if find_spec(name) is None]
    return unittest.skipIf(missing, f"needs {', '.join(missing)}")


class Lazy(KernelCase):
    def test_nothing_is_imported_for_a_user_who_does_not(self):
        code = "import sys; [m for m in ('matplotlib', 'pandas', 'numpy', 'PIL', 'e2b_charts', 'pydantic') if m in sys.modules]"
        kernel = self.own_kernel()
        kernel.run("[1]"), kernel.run("1 / 0"), kernel.run("print(1)")
        self.assertEqual(kernel.run(code).text, "[]")

    def test_without_the_wire_there_is_one_thread(self):
        code = "import os, threading; [t.name for t in threading.enumerate()], len(os.listdir('/proc/self/task'))"
        self.assertEqual(self.kernel.run(code).text, "(['MainThread'], 2)")


@needs("pandas", "numpy")
class Tables(KernelCase):
    def table(self, code):
        answer = self.kernel.run("import pandas as pd, numpy as np\n" + code)
        self.assertIsNone(answer.error)
        return answer.main[0]

    def test_frame_has_text_html_and_data(self):
        result = self.table("pd.DataFrame({'a': [1, 2], 'b': ['x', None]})")
        self.assertEqual(set(result), {"text/plain", "text/html", "e2b/data"})
        self.assertEqual(result["e2b/data"], {"a": [1, 2], "b": ["x", None]})

    def test_times_and_gaps(self):
        result = self.table("pd.DataFrame({'t': [pd.Timestamp('2020-01-02'), pd.NaT], 'f': [1.5, np.nan], 'n': [pd.NA, 1]})")
        self.assertEqual(result["e2b/data"], {"t": ["2020-01-02T00:00:00", None], "f": [1.5, None], "n": [None, 1]})

    def test_odd_columns_and_cells(self):
        result = self.table("import decimal\npd.DataFrame([[decimal.Decimal('1.5'), object, b'x']], columns=[1, ('a', 'b'), None])")
        self.assertEqual(len(result["e2b/data"]), 3)
        self.assertEqual(result["e2b/data"]["1"], ["1.5"])

    def test_wide_table_is_not_cut_to_a_terminal(self):
        result = self.table("pd.DataFrame([range(15)], columns=[f'column{i}' for i in range(15)])")
        for number in range(15):
            self.assertIn(f"column{number}", result["text/plain"])
            self.assertIn(f"column{number}", result["text/html"])

    def test_too_large_table_is_still_shown(self):
        answer = self.kernel.run("import pandas as pd\npd.DataFrame({'a': range(1_000_001)})")
        self.assertEqual(set(answer.main[0]), {"text/plain", "text/html"})
        self.assertIn("e2b/data form of a result was left out", "".join(answer.stderr))

    def test_numpy_in_json(self):
        self.assertEqual(self.table("[np.int64(1), np.float32(0.5), np.array([[1, 2]]), np.nan, np.bool_(True)]")["application/json"],
                         [1, 0.5, [[1, 2]], None, True])


@needs("matplotlib")
class Figures(KernelCase):
    def figures(self, code, **fields):
        answer = self.kernel.run("import matplotlib.pyplot as plt\n" + code, **fields)
        self.assertIsNone(answer.error)
        return answer

    def assert_figure(self, result):
        self.assertTrue(base64.b64decode(result["image/png"], validate=True).startswith(PNG))
        self.assertIn("Figure", result["text/plain"])

    def test_open_figure_is_shown_at_the_end_and_only_once(self):
        answer = self.figures("plt.plot([1, 2]); plt.title('t');\nprint('before')")
        self.assertEqual((len(answer.results), answer.main), (1, []))
        self.assert_figure(answer.results[0])
        self.assertLess(answer.types.index("stdout"), answer.types.index("result"))
        self.assertEqual(self.figures("1;").results, [])

    def test_show_shows_where_it_stands(self):
        answer = self.figures("plt.plot([1]); plt.show()\nprint('after')")
        self.assertEqual(answer.types, ["count", "result", "stdout", "end"])

    def test_two_figures(self):
        self.assertEqual(len(self.figures("plt.figure(); plt.plot([1]); plt.figure(); plt.plot([2]);").results), 2)

    def test_figure_of_a_failing_cell_is_shown(self):
        answer = self.kernel.run("import matplotlib.pyplot as plt\nplt.plot([1])\n1 / 0")
        self.assertEqual((answer.error["name"], len(answer.results)), ("ZeroDivisionError", 1))

    def test_figure_without_pyplot_is_shown(self):
        kernel = self.own_kernel()
        answer = kernel.run("from matplotlib.figure import Figure\nf = Figure(); f.add_subplot().plot([1])\nf")
        self.assert_figure(answer.main[0])

    def test_matplotlib_magic(self):
        kernel = self.own_kernel()
        answer = kernel.run("%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1]);")
        self.assertIsNone(answer.error)
        self.assert_figure(answer.results[0])
        self.assertIsNotNone(kernel.run("%matplotlib qt").error)

    def test_format_may_be_chosen(self):
        kernel = self.own_kernel()
        kernel.run("%config InlineBackend.figure_format = 'svg'")
        (result,) = kernel.run("import matplotlib.pyplot as plt\nplt.plot([1]);").results
        self.assertIn("image/svg+xml", result)
        self.assertNotIn("image/png", result)

    def test_other_backend_is_the_users_choice(self):
        kernel = self.own_kernel(MPLBACKEND="agg")
        answer = kernel.run("import matplotlib.pyplot as plt\nplt.plot([1]); plt.get_backend()")
        self.assertEqual((len(answer.results), answer.text.lower()), (1, "'agg'"))

    @needs("e2b_charts")
    def test_charts(self):
        (line,) = self.figures("plt.plot([1, 2], [3, float('nan')], label='l'); plt.xlabel('t (s)');").results
        chart = line["e2b/chart"]
        self.assertEqual((chart["type"], chart["x_unit"], chart["title"]), ("line", "s", None))
        self.assertEqual(chart["elements"][0]["points"], [[1.0, 3.0], [2.0, None]])
        (bar,) = self.figures("plt.bar(['a', 'b'], [1, 2]);").results
        self.assertEqual([e["value"] for e in bar["e2b/chart"]["elements"]], [1, 2])
        (both,) = self.figures("f, (a, b) = plt.subplots(1, 2); a.plot([1]); b.scatter([1], [2]);").results
        self.assertEqual(both["e2b/chart"]["type"], "superchart")

    @needs("e2b_charts")
    def test_blank_figure_has_an_empty_chart(self):
        answer = self.figures("from matplotlib.figure import Figure\nFigure()")
        self.assertEqual(answer.main[0]["e2b/chart"], {})
        self.assertNotIn("image/png", answer.main[0])

    @needs("e2b_charts")
    def test_chart_that_cannot_be_read_is_empty_and_the_picture_stays(self):
        kernel = self.own_kernel()
        answer = kernel.run("import e2b_charts\ndef broken(figure): raise RuntimeError\n"
                            "e2b_charts.chart_figure_to_dict = broken\nimport matplotlib.pyplot as plt\nplt.plot([1]);")
        self.assertEqual(answer.results[0]["e2b/chart"], {})
        self.assert_figure(answer.results[0])

    def test_no_charts_without_the_package(self):
        kernel = self.own_kernel()
        answer = kernel.run("import sys; sys.modules['e2b_charts'] = None\nimport matplotlib.pyplot as plt\nplt.plot([1]);")
        self.assertNotIn("e2b/chart", answer.results[0])
        self.assert_figure(answer.results[0])


@needs("PIL")
class Images(KernelCase):
    def image(self, code):
        answer = self.kernel.run("from PIL import Image\nimage = Image.new('RGB', (2, 2))\n" + code)
        self.assertIsNone(answer.error)
        return answer

    def assert_shown(self, answer):
        (result,) = answer.results
        self.assertTrue(base64.b64decode(result["image/png"]).startswith(PNG))
        self.assertEqual(answer.main, [])

    def test_show_displays(self):
        self.assert_shown(self.image("image.show()"))

    def test_save_to_a_path_displays_and_saves(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "x.png")
            self.assert_shown(self.image(f"image.save({path!r})"))
            with open(path, "rb") as file:
                self.assertTrue(file.read().startswith(PNG))

    def test_save_elsewhere_does_not_display(self):
        self.assertEqual(self.image("import io\nimage.save(io.BytesIO(), 'PNG')").results, [])

    def test_image_as_a_value(self):
        self.assertIn("image/png", self.image("image").main[0])

    def test_loaded_before_it_is_changed_too(self):
        kernel = self.own_kernel("--preload", "PIL.Image")
        answer = kernel.run("from PIL import Image\nImage.new('L', (1, 1)).show()")
        self.assertEqual(len(answer.results), 1)


class Preload(KernelCase):
    def test_missing_module_is_left_out(self):
        kernel = self.own_kernel("--preload", "no_such_module,json.tool")
        self.assertEqual(kernel.run("import sys; 'json.tool' in sys.modules").text, "True")


if __name__ == "__main__":
    unittest.main()
