"""The languages that only the full template has: Java."""

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


if __name__ == "__main__":
    main()
