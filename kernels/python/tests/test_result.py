"""Values of cells: which forms they have, and that no value breaks a frame."""

import unittest

from tests.driver import KernelCase


class Results(KernelCase):
    def main_of(self, code):
        answer = self.kernel.run(code)
        self.assertIsNone(answer.error, code)
        self.assertEqual(len(answer.main), 1, code)
        return answer.main[0]

    def json_of(self, code):
        return self.main_of(code)["application/json"]

    def test_last_expression_is_the_main_result(self):
        answer = self.kernel.run("1 + 1")
        self.assertEqual(answer.types, ["count", "result", "end"])
        self.assertEqual(answer.main, [{"text/plain": "2"}])

    def test_no_value_no_result(self):
        for code in ("x = 1", "None", "1;", "", "# only this", "for _ in [1]: 5"):
            self.assertEqual(self.kernel.run(code).results, [], code)

    def test_text_is_the_repr_with_its_quotes(self):
        self.assertEqual(self.main_of("'abc'")["text/plain"], "'abc'")

    def test_displayed_values_are_not_main(self):
        answer = self.kernel.run("display(1)\ndisplay('two')")
        self.assertEqual(([r["text/plain"] for r in answer.results], answer.main), (["1", "'two'"], []))

    def test_update_of_a_display_sends_nothing(self):
        answer = self.kernel.run("h = display(1, display_id=True)\nh.update(2)")
        self.assertEqual([r["text/plain"] for r in answer.results], ["1"])

    def test_every_mime_type(self):
        code = """
from IPython.display import HTML, Markdown, Latex, Javascript, SVG, JSON, display
display(HTML('<b>x</b>')); display(Markdown('# x')); display(Latex('$x$')); display(Javascript('x'))
display(SVG(data='<svg xmlns="http://www.w3.org/2000/svg"></svg>')); display(JSON({'a': 1}))
display({'application/pdf': b'%PDF', 'image/png': b'\\x89PNG', 'x/own': {'deep': [1]}}, raw=True)
"""
        merged = {}
        for result in self.kernel.run(code).results:
            merged.update(result)
        self.assertEqual(merged["text/html"], "<b>x</b>")
        self.assertEqual(merged["text/markdown"], "# x")
        self.assertEqual(merged["text/latex"], "$x$")
        self.assertEqual(merged["application/javascript"], "x")
        self.assertIn("<svg", merged["image/svg+xml"])
        self.assertEqual(merged["application/json"], {"a": 1})
        self.assertEqual(merged["application/pdf"], "JVBERg==")
        self.assertEqual(merged["image/png"], "iVBORw==")
        self.assertEqual(merged["x/own"], {"deep": [1]})

    def test_lists_and_maps_have_a_json_form(self):
        self.assertEqual(self.json_of("[1, 'a', None, True, 2.5, (3, 4)]"), [1, "a", None, True, 2.5, [3, 4]])
        self.assertEqual(self.json_of("{'a': {2: 3, None: 4, True: 5, 1.5: 6}}"),
                         {"a": {"2": 3, "null": 4, "true": 5, "1.5": 6}})

    def test_json_has_no_nan_and_no_numbers_that_readers_cannot_hold(self):
        self.assertEqual(self.json_of("[float('nan'), float('inf'), 2**64 - 1, -2**63, 10**400]"),
                         [None, None, 2**64 - 1, -2**63, None])
        self.assertEqual(self.json_of("[2**70]"), [float(2**70)])

    def test_json_of_common_types(self):
        code = """
import datetime, enum, uuid, dataclasses
class Colour(enum.Enum): RED = 'red'
@dataclasses.dataclass
class Point: x: int
[datetime.date(2020, 1, 2), datetime.datetime(2020, 1, 2, 3), uuid.UUID(int=1), Colour.RED, Point(4)]
"""
        self.assertEqual(self.json_of(code), [
            "2020-01-02", "2020-01-02T03:00:00", "00000000-0000-0000-0000-000000000001", "red", {"x": 4}])

    def test_values_without_a_json_form_are_text_only(self):
        for code in ("[object]", "{'a': {1, 2}}", "l = []; l.append(l); l", "d = {}; d['d'] = d; d",
                     "deep = []\nfor _ in range(200): deep = [deep]\ndeep"):
            self.assertEqual(list(self.main_of(code)), ["text/plain"], code)

    def test_nesting_stays_below_what_readers_take(self):
        self.assertIn("application/json", self.main_of("deep = []\nfor _ in range(90): deep = [deep]\ndeep"))
        self.assertNotIn("application/json", self.main_of("deep = []\nfor _ in range(110): deep = [deep]\ndeep"))

    def test_lone_surrogates_do_not_break_a_frame(self):
        data = self.main_of("['\\ud800', '\\ud83d\\ude00', {'\\udfff': 1}]")
        self.assertEqual(data["application/json"], ["\ufffd", "😀", {"\ufffd": 1}])

    def test_long_lists_are_shown_whole(self):
        self.assertNotIn("...", self.main_of("list(range(5000))")["text/plain"])

    def test_too_many_values_leave_out_the_json_form_and_say_so(self):
        answer = self.kernel.run("class Quick(list):\n    def __repr__(self): return 'quick'\n"
                                 "Quick([0] * 1_000_001)")
        self.assertEqual(answer.main, [{"text/plain": "quick"}])
        self.assertIn("application/json form of a result was left out", "".join(answer.stderr))

    def test_large_result_passes(self):
        self.assertEqual(len(self.main_of("'x' * 20_000_000")["text/plain"]), 20_000_002)

    def test_too_large_result_is_an_error_and_the_cell_goes_on(self):
        answer = self.kernel.run("display('x' * 40_000_000)\nprint('on')\n7")
        self.assertEqual(answer.error["name"], "ResultTooLarge")
        self.assertIn("33554432", answer.error["value"])
        self.assertEqual((answer.stdout, answer.text, answer.status), (["on\n"], "7", "error"))

    def test_too_large_in_bytes_but_not_in_characters_is_an_error_too(self):
        answer = self.kernel.run("'\\u20ac' * 20_000_000")
        self.assertEqual((answer.error["name"], answer.results), ("ResultTooLarge", []))

    def test_structured_form_goes_before_the_text(self):
        answer = self.kernel.run("class Big(list):\n    def __repr__(self): return 'big'\n"
                                 "Big(['x' * 20_000_000] * 2)")
        self.assertIsNone(answer.error)
        self.assertEqual(answer.main, [{"text/plain": "big"}])
        self.assertIn("only its text forms", "".join(answer.stderr))

    def test_broken_repr_is_an_error(self):
        answer = self.kernel.run("class Bad:\n    def __repr__(self): raise ValueError('no repr')\nBad()")
        self.assertEqual((answer.error["name"], answer.error["value"]), ("ValueError", "no repr"))

    def test_out_and_underscore(self):
        kernel = self.own_kernel()
        kernel.run("41")
        self.assertEqual(kernel.run("_ + 1").text, "42")
        self.assertEqual(kernel.run("Out[1] + _2").text, "83")
        self.assertEqual(kernel.run("In[1]").text, "'41'")


class Counts(KernelCase):
    def test_counts_as_told(self):
        kernel = self.own_kernel()
        self.assertEqual(kernel.run("1").count, 1)
        self.assertEqual(kernel.run("1").count, 2)
        self.assertEqual(kernel.run("1 +").count, 3, "a syntax error counts")
        self.assertEqual(kernel.run("1 / 0").count, 4, "an error counts")
        silent = kernel.run("5", silent=True)
        self.assertEqual((silent.count, silent.results), (None, []), "a silent cell does not")
        self.assertEqual(kernel.run("").count, 5, "nothing tells the number")
        self.assertEqual(kernel.run("  \n ").count, 5, "and does not advance it")
        self.assertEqual(kernel.run("# words").count, 5)
        self.assertEqual(kernel.run("1").count, 6)


if __name__ == "__main__":
    unittest.main()
