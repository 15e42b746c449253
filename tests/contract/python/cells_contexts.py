"""Contexts, their environment and what languages they have."""

import json
import uuid

from e2b_code_interpreter import NotFoundException, Sandbox, SandboxException

from cells import CellCase, main


class Contexts(CellCase):
    ENVS = {"LEVEL": "sandbox", "QUOTED": "it's \"so\"\n$(x)"}

    def test_two_are_there_from_the_start(self):
        with Sandbox.create(timeout=120) as sandbox:
            listed = sandbox.list_code_contexts()
            self.assertEqual([(one.language, one.cwd) for one in listed],
                             [("python", "/home/user"), ("javascript", "/home/user")])
            # They are those that cells without a context run in.
            sandbox.run_code("mark = 1")
            self.assertEqual(sandbox.run_code("mark", context=listed[0]).text, "1")

    def test_each_has_its_own_state(self):
        self.cell("mine = 'default'")
        one, other = self.context(), self.context()
        self.assertEqual(self.cell("mine = 1; mine", context=one).execution_count, 1)
        self.assertEqual(self.failed("mine", context=other).name, "NameError")
        self.assertEqual(self.cell("mine").text, "default")
        self.assertEqual(self.cell("mine", context=one).execution_count, 2)

    def test_the_newest_is_listed_last(self):
        made = [self.context().id for _ in range(2)]
        self.assertEqual([context.id for context in self.sandbox.list_code_contexts()][-2:], made)

    def test_a_directory_of_its_own(self):
        self.sandbox.files.make_dir("/home/user/project")
        for language, code in (("python", "import os; os.getcwd()"), ("javascript", "process.cwd()")):
            context = self.context(cwd="/home/user/project", language=language)
            self.assertEqual((context.cwd, context.language), ("/home/user/project", language))
            self.assertEqual(self.cell(code, context=context).text, "/home/user/project", language)
        context = self.context(cwd="/home/user/project", language="bash")
        self.assertEqual(self.printed("pwd", context=context), "/home/user/project\n")

    def test_modules_of_the_directory_are_found(self):
        self.sandbox.files.write("/home/user/lib/mine.py", "value = 41")
        context = self.context(cwd="/home/user/lib")
        self.assertEqual(self.cell("import mine; mine.value + 1", context=context).text, "42")

    def test_names_of_languages(self):
        for given, told in (("js", "javascript"), (" TypeScript ", "typescript"), ("BASH", "bash")):
            self.assertEqual(self.context(language=given).language, told)
        with self.assertRaisesRegex(SandboxException, "(?s)cobol.*python"):
            self.sandbox.create_code_context(language="cobol")
        with self.assertRaisesRegex(SandboxException, "cobol"):
            self.sandbox.run_code("1", language="cobol")

    def test_a_restart_forgets(self):
        context = self.context(cwd="/tmp")
        self.cell("x = 1", context=context)
        self.sandbox.restart_code_context(context)
        self.assertEqual(self.failed("x", context=context).name, "NameError")
        self.assertEqual(self.cell("import os; os.getcwd(), os.environ['LEVEL']", context=context).text,
                         "('/tmp', 'sandbox')")
        self.sandbox.restart_code_context(context.id)
        self.assertEqual(self.cell("1", context=context).execution_count, 1)
        self.assertIn(context.id, [one.id for one in self.sandbox.list_code_contexts()])

    def test_one_that_was_removed_is_gone(self):
        context = self.sandbox.create_code_context()
        self.sandbox.remove_code_context(context)
        self.assertNotIn(context.id, [one.id for one in self.sandbox.list_code_contexts()])
        for asked in (lambda: self.sandbox.run_code("1", context=context),
                      lambda: self.sandbox.remove_code_context(context),
                      lambda: self.sandbox.restart_code_context(context)):
            with self.assertRaisesRegex(NotFoundException, context.id):
                asked()

    def test_those_of_other_sandboxes_are_not_there(self):
        context = self.context()
        with Sandbox.create(timeout=120) as other:
            with self.assertRaises(NotFoundException):
                other.run_code("1", context=context)

    def test_the_default_ones_can_be_removed_and_come_again(self):
        with Sandbox.create(timeout=120) as sandbox:
            sandbox.run_code("x = 1")
            for context in sandbox.list_code_contexts():
                sandbox.remove_code_context(context)
            self.assertEqual(sandbox.list_code_contexts(), [])
            self.assertEqual(sandbox.run_code("x").error.name, "NameError")
            self.assertEqual(sandbox.run_code("'js'", language="js").text, "js")
            self.assertEqual([one.language for one in sandbox.list_code_contexts()], ["python", "javascript"])

    def test_the_environment_has_three_levels(self):
        context = self.context()
        look = "import os; [os.environ.get(name) for name in ('LEVEL', 'MORE', 'QUOTED')]"
        quoted = repr(self.ENVS["QUOTED"])
        self.assertEqual(self.cell(look, context=context).text, f"['sandbox', None, {quoted}]")
        given = {"LEVEL": "cell", "MORE": "m'\"\n"}
        self.assertEqual(self.cell(look, context=context, envs=given).text, f"['cell', {given['MORE']!r}, {quoted}]")
        self.assertEqual(self.cell(look, context=context).text, f"['sandbox', None, {quoted}]")
        # Those of a cell do not move its lines.
        error = self.failed("x = 1\n1/0", context=context, envs=given)
        self.assertRegex(error.traceback, r"line 2")
        self.cell("os.environ['LEVEL'] = 'context'", context=context)
        self.assertEqual(self.cell("os.environ['LEVEL']", context=context).text, "context")

    def test_the_environment_of_other_languages(self):
        given = {"MORE": "m'\"$x"}
        for language in ("javascript", "typescript"):
            code = "console.log(process.env.LEVEL + process.env.MORE)"
            self.assertEqual(self.printed(code, language=language, envs=given), f"sandbox{given['MORE']}\n")
            self.assertEqual(self.printed(code, language=language), "sandboxundefined\n")
        self.assertEqual(self.printed('echo "$LEVEL$MORE"', language="bash", envs=given), f"sandbox{given['MORE']}\n")
        self.assertEqual(self.printed('echo "$LEVEL$MORE"', language="bash"), "sandbox\n")

    def test_plain_requests(self):
        self.assertEqual(self.ask("GET", "/health")[::2], (200, '"OK"'))
        status, _, text = self.ask("POST", "/execute", json.dumps({"code": "1", "context_id": "x", "language": "python"}))
        self.assertEqual((status, bool(text)), (400, True))
        nobody = uuid.uuid4()
        status, _, text = self.ask("POST", "/execute", json.dumps({"code": "1", "context_id": str(nobody)}))
        self.assertEqual((status, text), (404, f"Context {nobody} not found"))
        for body in ("", "{", "[]", "{}", '{"code": 1}', '{"code": "1", "env_vars": [1]}'):
            self.assertEqual(self.ask("POST", "/execute", body)[0], 422, body)
        status, _, text = self.ask("GET", "/nosuch")
        self.assertEqual((status, json.loads(text)), (404, {"detail": "Not Found"}))
        status, headers, text = self.ask("POST", "/execute?source=x", json.dumps({"code": "print('é')", "more": 1}))
        lines = [json.loads(line) for line in text.splitlines()]
        self.assertEqual([line["type"] for line in lines], ["number_of_executions", "stdout", "end_of_execution"])
        self.assertTrue(text.isascii())


class Languages(CellCase):
    def test_javascript(self):
        execution = self.cell("console.log('Hello, World!'); const { basename } = await import('node:path'); basename('/a/b')",
                              language="javascript")
        self.assertEqual((execution.logs.stdout, execution.text), (["Hello, World!\n"], "b"))
        self.assertEqual(self.cell("import os from 'node:os'; const kept = [1, { a: 2 }]; kept", language="js").results[0].json,
                         [1, {"a": 2}])
        self.assertEqual(self.cell("kept.length", language="javascript").text, "2")
        error = self.failed("const n = 1;\nundefinedFunction(n)", language="javascript")
        self.assertEqual((error.name, error.value), ("ReferenceError", "undefinedFunction is not defined"))
        self.assertIn(":2:", error.traceback)

    def test_typescript(self):
        code = "interface P { name: string }\nenum E { A = 3 }\nconst p: P = { name: 'x' } satisfies P; p.name + E.A"
        self.assertEqual(self.cell(code, language="typescript").text, "x3")
        # It is another context than that of JavaScript.
        self.cell("globalThis.only = 1", language="javascript")
        self.assertEqual(self.cell("typeof only", language="ts").text, "undefined")

    def test_bash(self):
        execution = self.cell("x=5; echo out; echo err >&2", language="bash")
        self.assertEqual((execution.logs.stdout, execution.logs.stderr), (["out\n"], ["err\n"]))
        self.assertEqual(self.printed("echo $x; cd /tmp", language="bash"), "5\n")
        self.assertEqual(self.printed("pwd", language="bash"), "/tmp\n")
        self.assertEqual(self.failed("false || exit 3", language="bash").value, "3")
        self.assertEqual(self.printed("echo $x", language="bash"), "5\n")


if __name__ == "__main__":
    main()
