"""Cells: what stays between them, their values, errors and output."""

import os
import tempfile
import unittest

from tests.driver import KernelCase


class State(KernelCase):
    def test_variables_methods_classes_and_imports_stay(self):
        self.out("int x = 5;\nString greet(String name) { return \"hi \" + name; }\n"
                 "record Point(int a, int b) {}\nimport java.time.Duration;")
        self.assertEqual(self.out("System.out.println(greet(\"you\") + x + new Point(1, 2) + Duration.ofSeconds(3))"),
                         "hi you5Point[a=1, b=2]PT3S\n")

    def test_usual_imports_are_there(self):
        self.assertEqual(self.text("List.of(3, 1).stream().sorted().collect(Collectors.toList())"), "[1, 3]")

    def test_declarations_may_be_in_any_order_and_be_replaced(self):
        kernel = self.own_kernel()
        self.out("int first() { return second() + 1; }\nint second() { return 1; }", kernel)
        self.assertEqual(self.text("first()", kernel), "2")
        self.out("int second() { return 41; }", kernel)
        self.assertEqual(self.text("first()", kernel), "42")

    def test_what_waits_for_a_declaration_is_told(self):
        kernel = self.own_kernel()
        answer = kernel.run("int use() { return later(); }")
        self.assertEqual((answer.status, "".join(answer.stderr)),
                         ("ok", "soulbox: use cannot be used before this is declared: method later()\n"))
        answer = kernel.run("use()")
        self.assertEqual(answer.error["name"], "UnresolvedReferenceException")
        self.assertIn("later()", answer.error["value"])

    def test_count(self):
        kernel = self.own_kernel()
        codes = ("1", "throw new Exception()", "  \n", "int (", "2")
        self.assertEqual([kernel.run(code).count for code in codes], [1, 2, 3, 3, 4])
        silent = kernel.run("var quiet = 1; quiet", silent=True)
        self.assertEqual(silent.types, ["end"])
        self.assertEqual(kernel.run("quiet").types, ["count", "result", "end"])


class Values(KernelCase):
    def test_the_last_expression_is_the_value(self):
        for code, value in (("1 + 1", "2"), ("1; 2", "2"), ("\"a\" + 1", '"a1"'), ("int y = 7; y", "7"),
                            ("new int[] {1, 2}", "int[2] { 1, 2 }"), ("Map.of(1, 2)", "{1=2}"), ("'c'", "'c'"),
                            ("// said\n3 // more\n", "3")):
            answer = self.kernel.run(code)
            self.assertEqual((answer.types, answer.text), (["count", "result", "end"], value), code)

    def test_what_has_none(self):
        for code in ("int z = 5;", "z = 6;", "null", "if (true) { z = 7; }", "void f() {}", "f()", "", "// nothing",
                     "import java.util.*;"):
            self.assertEqual(self.kernel.run(code).types, ["count", "end"], code)

    def test_a_value_that_cannot_be_told_is_an_error(self):
        answer = self.kernel.run("new Object() { public String toString() { throw new IllegalStateException(\"no\"); } }")
        self.assertEqual((answer.error["name"], answer.error["value"]), ("java.lang.IllegalStateException", "no"))


class Errors(KernelCase):
    def test_exceptions_tell_their_places_in_cells(self):
        kernel = self.own_kernel()
        self.out("int half(int n) {\n  if (n % 2 == 1) throw new IllegalArgumentException(\"odd: \" + n);\n"
                 "  return n / 2;\n}", kernel)
        answer = kernel.run("System.out.println(half(4));\n// said\nhalf(3);\nSystem.out.println(\"not\");")
        self.assertEqual(answer.types, ["count", "stdout", "error", "end"])
        self.assertEqual(answer.error["name"], "java.lang.IllegalArgumentException")
        self.assertEqual(answer.error["value"], "odd: 3")
        self.assertEqual(answer.error["traceback"],
                         "java.lang.IllegalArgumentException: odd: 3\n    at half (Cell[1]:2)\n    at Cell[2]:3")

    def test_causes_are_told(self):
        answer = self.kernel.run("throw new RuntimeException(\"outer\", new java.io.IOException(\"inner\"));")
        self.assertEqual(answer.error["value"], "outer")
        self.assertIn("Caused by: java.io.IOException: inner", answer.error["traceback"])

    def test_errors_of_the_machine_are_errors_of_the_cell(self):
        self.out("int deep(int n) { return deep(n + 1) + 1; }")
        self.assertEqual(self.kernel.run("deep(0)").error["name"], "java.lang.StackOverflowError")
        self.assertEqual(self.kernel.run("new int[Integer.MAX_VALUE][Integer.MAX_VALUE]").error["name"],
                         "java.lang.OutOfMemoryError")
        self.assertEqual(self.out("System.out.print(1)"), "1")

    def test_what_cannot_be_compiled_is_shown(self):
        answer = self.kernel.run("int before = 1;\nSystem.out.println(before);\nint wrong = \"text\";\nint after = 2;")
        self.assertEqual((answer.stdout, answer.error["name"]), (["1\n"], "CompilationException"))
        self.assertIn("incompatible types", answer.error["value"])
        self.assertRegex(answer.error["traceback"], r"^Cell\[\d+\]:3: incompatible types(.|\n)*int wrong = \"text\";\n"
                                                    r" +\^$")
        for code in ("int (", "nosuch()", "for (", "{", "String s = \"open", "class A {"):
            self.assertEqual(self.kernel.run(code).error["name"], "CompilationException", code)
        self.assertEqual(self.text("before"), "1")


class Output(KernelCase):
    def test_short_output_is_one_piece_and_streams_are_apart(self):
        answer = self.kernel.run("{ System.out.println(\"a\"); System.err.println(\"err\"); System.out.print(\"b\"); }")
        self.assertEqual((answer.stdout, answer.stderr), (["a\nb"], ["err\n"]))

    def test_output_comes_before_the_value(self):
        answer = self.kernel.run("System.out.println(\"first\");\n5")
        self.assertEqual(answer.types, ["count", "stdout", "result", "end"])

    def test_output_leaves_while_the_cell_runs(self):
        with tempfile.TemporaryDirectory() as directory:
            gate = os.path.join(directory, "gate")
            os.mkfifo(gate)
            self.kernel.send("execute", code=f"System.out.print(\"first\");\nnew FileReader(\"{gate}\").read();\n"
                                             "System.out.println(\"second\")")
            self.assertEqual(self.kernel.until("stdout")[-1]["text"], "first")
            with open(gate, "w"):
                pass
            self.assertEqual([f["text"] for f in self.kernel.until("end") if f["type"] == "stdout"], ["second\n"])

    def test_much_output_comes_whole_and_in_bounded_pieces(self):
        answer = self.kernel.run("for (int i = 0; i < 100000; i++) System.out.println(i);")
        self.assertEqual("".join(answer.stdout), "".join(f"{i}\n" for i in range(100_000)))
        self.assertLessEqual(max(map(len, answer.stdout)), 64 * 1024)

    def test_any_text_passes(self):
        self.assertEqual(self.out("System.out.println(\"häß \U0001f600\")"), "häß \U0001f600\n")
        self.assertEqual(self.text("\"häß \U0001f600\""), '"häß \U0001f600"')
        self.assertEqual(self.out("System.out.write(255); System.out.flush();"), "\ufffd")

    def test_output_of_other_programs_is_that_of_the_cell(self):
        self.assertEqual(self.out("System.out.println(1);\n"
                                  "new ProcessBuilder(\"sh\", \"-c\", \"echo 2\").inheritIO().start().waitFor();\n"
                                  "System.out.println(3);"), "1\n2\n3\n")

    def test_threads_go_on_between_cells(self):
        with tempfile.TemporaryDirectory() as directory:
            gate = os.path.join(directory, "gate")
            os.mkfifo(gate)
            self.out(f"new Thread(() -> {{ try {{ new FileReader(\"{gate}\").read(); }} catch (IOException e) {{ }} "
                     "System.out.println(\"late\"); }).start();")
            with open(gate, "w"):
                pass
            frame = self.kernel.frame()
            self.assertEqual((frame["type"], frame["id"], frame["text"]), ("stdout", None, "late\n"))

    def test_standard_input_is_empty(self):
        self.assertEqual(self.text("System.in.read()"), "-1")

    def test_a_large_value(self):
        self.assertEqual(len(self.text("\"x\".repeat(5_000_000)")), 5_000_002)
        self.assertEqual(self.kernel.run("\"x\".repeat(40_000_000)").error["name"], "ResultTooLarge")


if __name__ == "__main__":
    unittest.main()
