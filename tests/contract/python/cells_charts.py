"""What is told about a figure of matplotlib beside its picture."""

import base64

from cells import CellCase, main

SETUP = "import matplotlib.pyplot as plt\n"


class Charts(CellCase):
    def chart(self, code):
        execution = self.cell(SETUP + code + "\nplt.show()")
        (result,) = execution.results
        self.assertTrue(base64.b64decode(result.png).startswith(b"\x89PNG"))
        self.assertFalse(result.is_main_result)
        self.assertEqual(execution.logs.stderr, [])
        return result.chart

    def test_lines(self):
        chart = self.chart("import datetime\ndays = [datetime.date(2026, 9, 1) + datetime.timedelta(n) for n in range(3)]\n"
                           "plt.plot(days, [1, 2.5, 3], label='up')\nplt.plot(days, [3, 2, 1])\n"
                           "plt.xlabel('Time (s)'); plt.ylabel('Size [m]'); plt.title('Growth'); plt.yscale('log')")
        self.assertEqual((chart.type, chart.title), ("line", "Growth"))
        self.assertEqual((chart.x_label, chart.x_unit, chart.y_label, chart.y_unit), ("Time (s)", "s", "Size [m]", "m"))
        self.assertEqual((chart.x_scale, chart.y_scale), ("datetime", "log"))
        first, second = chart.elements
        self.assertEqual((first.label, second.label), ("up", "Line 1"))
        self.assertEqual(first.points[1], ("2026-09-02", 2.5))
        self.assertEqual(len(chart.x_ticks), len(chart.x_tick_labels))

    def test_points(self):
        chart = self.chart("plt.scatter([1, 2], [3, 4], label='a')\nplt.scatter([5], [6], label='b')")
        self.assertEqual((chart.type, chart.title, chart.x_label), ("scatter", None, None))
        self.assertEqual([(group.label, group.points) for group in chart.elements],
                         [("a", [(1, 3), (2, 4)]), ("b", [(5, 6)])])

    def test_bars(self):
        chart = self.chart("plt.bar(['A', 'B'], [10, 20], label='x')\nplt.ylabel('Books')")
        self.assertEqual((chart.type, chart.y_label), ("bar", "Books"))
        self.assertEqual([(bar.label, bar.group, float(bar.value)) for bar in chart.elements],
                         [("A", "x", 10.0), ("B", "x", 20.0)])

    def test_a_pie(self):
        chart = self.chart("plt.pie([90, 10], labels=['most', 'rest'])\nplt.title('Parts')")
        self.assertEqual((chart.type, chart.title), ("pie", "Parts"))
        self.assertEqual([(part.label, round(part.angle), part.radius) for part in chart.elements],
                         [("most", 324, 1), ("rest", 36, 1)])

    def test_boxes(self):
        # Boxes that are not filled are lines to the package.
        chart = self.chart("plt.boxplot([[1, 2, 3, 4, 5, 100], [2, 4, 6, 8, 10]], tick_labels=['A', 'B'], patch_artist=True)")
        self.assertEqual(chart.type, "box_and_whisker")
        told = [(box.label, box.min, box.first_quartile, box.median, box.third_quartile, box.max, box.outliers)
                for box in chart.elements]
        self.assertEqual(told, [("A", 1, 2.25, 3.5, 4.75, 5, [100]), ("B", 2, 4, 6, 8, 10, [])])

    def test_several(self):
        chart = self.chart("figure, (left, right) = plt.subplots(1, 2)\nleft.plot([1, 2])\nright.bar(['A'], [1])\n"
                           "figure.suptitle('Both')")
        self.assertEqual((chart.type, chart.title), ("superchart", "Both"))
        self.assertEqual([part.type for part in chart.elements], ["line", "bar"])

    def test_others_are_pictures_alone(self):
        self.assertEqual(self.chart("plt.imshow([[1, 2], [3, 4]])").type, "unknown")

    def test_a_figure_shows_itself_and_in_all_scripts(self):
        execution = self.cell(SETUP + "plt.plot([1, 2], label='日本')\nplt.legend();")
        self.assertEqual(len(execution.results), 1)
        self.assertEqual((execution.results[0].chart.type, execution.logs.stderr), ("line", []))

    def test_one_that_is_the_value(self):
        execution = self.cell(SETUP + "figure = plt.figure()\nfigure.gca().plot([1, 2])\nplt.close()\nfigure")
        (result,) = execution.results
        self.assertTrue(result.is_main_result)
        self.assertEqual(result.chart.type, "line")

    def test_seaborn(self):
        chart = self.chart("import seaborn\nseaborn.barplot(x=['a', 'b'], y=[1, 2])")
        self.assertEqual([float(bar.value) for bar in chart.elements], [1.0, 2.0])


if __name__ == "__main__":
    main()
