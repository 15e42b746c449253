"""The languages that only the full template has: Java, and R in a kernel of Jupyter's."""

import base64
import time

from e2b_code_interpreter import Sandbox

from cells import CellCase, main


class FullCase(CellCase):
    """Tests that share a sandbox of the full template."""

    @classmethod
    def setUpClass(cls):
        cls.sandbox = Sandbox.create("code-interpreter-full", timeout=300, envs=cls.ENVS)


class Java(FullCase):
    ENVS = {"LEVEL": "sandbox"}

    def java(self, code, **options):
        return self.cell(code, language="java", **options)

    def test_cells_keep_their_state(self):
        self.java("int x = 20;\nint twice(int n) { return 2 * n; }")
        execution = self.java('System.out.println("häß");\ntwice(x) + 2')
        self.assertEqual((execution.text, "".join(execution.logs.stdout)), ("42", "häß\n"))
        self.assertTrue(execution.results[0].is_main_result)

    def test_errors(self):
        error = self.failed("throw new IllegalStateException(\"no\");", language="java")
        self.assertEqual((error.name, error.value), ("java.lang.IllegalStateException", "no"))
        self.assertIn("at Cell[", error.traceback)
        error = self.failed("int wrong = \"text\";", language="java")
        self.assertEqual(error.name, "CompilationException")
        self.assertIn("incompatible types", error.value)

    def test_variables_are_properties(self):
        self.assertEqual(self.java("System.getProperty(\"LEVEL\")").text, 'sandbox')
        self.assertEqual(self.java("System.getProperty(\"LEVEL\")", envs={"LEVEL": "cell"}).text, 'cell')
        self.assertEqual(self.java("System.getProperty(\"LEVEL\")").text, 'sandbox')

    def test_contexts(self):
        context = self.context(language="java", cwd="/tmp")
        self.assertEqual((context.language, context.cwd), ("java", "/tmp"))
        self.assertEqual(self.cell("System.getProperty(\"user.dir\")", context=context).text, '/tmp')
        self.cell("int mine = 1;", context=context)
        self.assertEqual(self.failed("mine", language="java").name, "CompilationException")
        self.sandbox.restart_code_context(context)
        self.assertEqual(self.failed("mine", context=context).name, "CompilationException")
        self.assertEqual(self.cell("1 + 1", context=context).text, "2")

    def test_a_client_that_goes_away_interrupts(self):
        context = self.context(language="java")
        self.cell("int kept = 7;", context=context)
        with self.assertRaises(Exception):
            self.sandbox.run_code("Thread.sleep(100_000);", context=context, timeout=1)
        self.assertEqual(self.cell("kept", context=context).text, "7")

    def test_a_machine_that_ends_is_replaced(self):
        context = self.context(language="java")
        self.assertEqual(self.failed("System.exit(3);", context=context).name, "ContextRestarting")
        self.assertEqual(self.cell("2 + 3", context=context).text, "5")

    def test_other_languages_are_there(self):
        self.assertEqual(self.cell("1 + 1").text, "2")
        self.assertEqual(self.cell("1 + 1", language="js").text, "2")


class R(FullCase):
    ENVS = {"LEVEL": "sandbox"}

    def r(self, code, **options):
        return self.cell(code, language="r", **options)

    def test_cells_keep_their_state(self):
        self.r("x <- 20")
        execution = self.r("cat('häß\\n')\nx * 2 + 2")
        self.assertEqual("".join(execution.logs.stdout), "häß\n")
        self.assertEqual(execution.text, "[1] 42")
        # Only the last one is the cell's value.
        results = self.r("1\n'two'").results
        self.assertEqual([(result.text, result.is_main_result) for result in results],
                         [("[1] 1", False), ('[1] "two"', True)])
        self.assertEqual(self.r("y <- 1").results, [])

    def test_plots_are_pictures(self):
        results = self.r("plot(1:10)").results
        self.assertTrue(base64.b64decode(results[0].png).startswith(b"\x89PNG\r\n\x1a\n"), results)
        results = self.r("library(ggplot2)\nggplot(mtcars, aes(wt, mpg)) + geom_point()").results
        self.assertTrue(any(result.png for result in results), results)

    def test_tables(self):
        result = self.r("data.frame(a = 1:2, b = c('x', 'y'))").results[0]
        self.assertIn("<table", result.html)
        self.assertIn("x", result.text)

    def test_errors(self):
        error = self.failed("before <- 1\nstop('no')", language="r")
        self.assertIn("no", error.value)
        self.assertIn("no", error.traceback)
        self.assertNotIn("\x1b", error.traceback)
        self.assertEqual(self.r("before").results[0].text, "[1] 1")
        self.assertIn("unexpected", self.failed("x <- (", language="r").value + self.failed("x <- )", language="r").value)

    def test_streams_are_apart_and_warnings_are_shown(self):
        logs = self.r("message('aside')\ncat('out\\n')\nwarning('beware')").logs
        self.assertEqual("".join(logs.stdout), "out\n")
        self.assertIn("aside", "".join(logs.stderr))
        self.assertIn("beware", "".join(logs.stderr))

    def test_programs_that_it_starts_print_into_the_cell(self):
        self.assertEqual("".join(self.r("invisible(system('echo inner'))").logs.stdout), "inner\n")

    def test_questions_are_refused(self):
        self.assertEqual(self.failed("readline('name? ')", language="r").name, "StdinNotImplementedError")
        self.assertEqual(self.r("1").text, "[1] 1")

    def test_variables(self):
        level = "cat(Sys.getenv('LEVEL'))"
        self.assertEqual(self.printed(level, language="r"), "sandbox")
        self.assertEqual(self.printed(level, language="r", envs={"LEVEL": "it's \"x\"\\\nä"}), "it's \"x\"\\\nä")
        self.assertEqual(self.printed(level, language="r"), "sandbox")

    def test_contexts(self):
        context = self.context(language="R", cwd="/tmp")
        self.assertEqual((context.language, context.cwd), ("r", "/tmp"))
        self.assertEqual(self.printed("cat(getwd())", context=context), "/tmp")
        self.cell("mine <- 1", context=context)
        self.assertIn("mine", self.failed("mine", language="r").value)
        self.sandbox.restart_code_context(context)
        self.assertIn("mine", self.failed("mine", context=context).value)
        self.assertEqual(self.printed("cat(getwd(), Sys.getenv('LEVEL'))", context=context), "/tmp sandbox")
        self.assertEqual(self.cell("1", context=context).execution_count, 3)

    def test_the_kernel_has_its_own_name_too(self):
        self.assertEqual(self.printed("cat(R.version$language)", language="ir"), "R")

    def test_a_client_that_goes_away_interrupts(self):
        context = self.context(language="r")
        self.cell("kept <- 7", context=context)
        for code in ("Sys.sleep(100)", "repeat {}", "system('sleep 100')"):
            before = time.monotonic()
            with self.assertRaises(Exception):
                self.sandbox.run_code(code, context=context, timeout=1)
            self.assertEqual(self.printed("cat(kept)", context=context), "7", code)
            self.assertLess(time.monotonic() - before, 5, code)

    def test_much_output_comes_whole(self):
        text = self.printed("for (i in 1:20000) cat(i, '\\n')", language="r")
        self.assertEqual(text, "".join(f"{i} \n" for i in range(1, 20_001)))

    def test_a_kernel_that_ends_is_replaced(self):
        context = self.context(language="r")
        self.cell("mine <- 1", context=context)
        self.assertEqual(self.failed("tools::pskill(Sys.getpid(), 9)", context=context).name, "ContextRestarting")
        self.assertIn("mine", self.failed("mine", context=context).value)

    def test_nothing_of_it_is_left(self):
        context = self.context(language="r")
        self.assertEqual(self.printed("cat(list.files('/tmp', '^[.]soulbox-jupyter', all.files = TRUE))", context=context), "")
        pid = int(self.printed("cat(Sys.getpid())", context=context))
        self.sandbox.remove_code_context(context)
        self.assertEqual(self.printed(f"[ -e /proc/{pid} ] || echo gone", language="bash"), "gone\n")


if __name__ == "__main__":
    main()
