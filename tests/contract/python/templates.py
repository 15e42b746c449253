"""Templates: built, tagged, used, gone back to, removed. Against a server that has a real `base`."""

import asyncio
import os
import tempfile
import traceback
import unittest
import uuid

from contract import VERSION, SandboxCase, main, request, until
from e2b import AsyncTemplate, BuildException, Template

KEY = {"X-API-KEY": os.environ["E2B_API_KEY"]}


def api(method, path, body=None, headers=None):
    kind = {"Content-Type": "application/json"}
    return request(method, path, body, {**KEY, **kind, **(headers or {})})


class Templates(SandboxCase):
    def setUp(self):
        # Servers of other tests share the layers: what shall be built and not found must be new.
        self.mark = uuid.uuid4().hex
        self.name = f"t-{self.mark[:12]}"
        self.addCleanup(lambda: api("DELETE", f"/templates/{self.name}"))

    def build(self, template, name=None, **options):
        options.setdefault("cpu_count", 1)
        options.setdefault("memory_mb", 512)
        return Template.build(template, name or self.name, **options)

    def test_build_and_use(self):
        heard = []
        template = (
            Template()
            .from_template("base")
            .set_envs({"GREETING": "hello", "MARK": self.mark})
            .set_workdir("/app")
            .run_cmd('echo "$GREETING from $(whoami) in $PWD" | tee said')
        )
        built = self.build(template, on_build_logs=lambda entry: heard.append(entry.message))
        self.assertTrue(any("hello from user in /app" in line for line in heard), heard)
        self.assertEqual(len(heard), len(set(heard)), "an entry was told twice")
        sandbox = self.create(template=self.name)
        self.assertEqual(sandbox.files.read("/app/said"), "hello from user in /app\n")
        told = sandbox.commands.run('echo "$GREETING $PWD $E2B_TEMPLATE_ID"').stdout
        self.assertEqual(told, f"hello /app {built.template_id}\n")
        info = sandbox.get_info()
        self.assertEqual((info.template_id, info.name), (built.template_id, self.name))
        self.assertEqual((info.cpu_count, info.memory_mb), (1, 512))
        for name in (built.template_id, f"{self.name}:default", f"default/{self.name}", self.name.upper()):
            again = self.create(template=name)
            self.assertTrue(again.files.exists("/app/said"), name)

    def test_files_are_copied_once(self):
        with tempfile.TemporaryDirectory() as directory:
            os.mkdir(f"{directory}/src")
            for name, text in [("src/one.txt", self.mark), ("src/two.md", "2"), ("run.sh", "#!/bin/sh\necho ran\n")]:
                with open(f"{directory}/{name}", "w") as file:
                    file.write(text)
            template = (
                Template(file_context_path=directory)
                .from_template("base")
                .copy("src", "/app/src", user="root")
                .copy("*.sh", "/app/", mode=0o755)
                .run_cmd("/app/run.sh")
            )
            heard = []
            self.build(template, on_build_logs=lambda entry: heard.append(entry.message))
            self.assertIn("ran", heard)
            again = []
            self.build(template, on_build_logs=lambda entry: again.append(entry.message))
            self.assertNotIn("ran", again)
            self.assertEqual(len([line for line in again if line.startswith("CACHED")]), 3, again)
        sandbox = self.create(template=self.name)
        self.assertEqual(sandbox.files.read("/app/src/one.txt"), self.mark)
        told = sandbox.commands.run("stat -c '%U %a' /app/src/two.md /app/run.sh").stdout
        self.assertEqual(told.splitlines()[0].split()[0], "root")
        self.assertEqual(told.splitlines()[1], "user 755")

    def test_a_step_that_fails_is_found(self):
        template = Template().from_template("base").run_cmd("true").run_cmd("whoami", user="root123")
        try:
            self.build(template)
            self.fail("it was built")
        except BuildException as error:
            # `assertRaises` would take the client's own trace away.
            text, trace = str(error), "".join(traceback.format_exception(error))
        self.assertIn(
            "failed to run command 'whoami': command failed: unauthenticated: invalid username: 'root123'",
            text,
        )
        self.assertIn('run_cmd("whoami", user="root123")', trace)
        with self.assertRaises(Exception) as caught:
            self.build(Template().from_template("base").run_cmd("echo so; exit 3"))
        self.assertIn("exit status 3", str(caught.exception))
        with self.assertRaises(Exception) as caught:
            self.create(template=self.name)
        self.assertIn("not found", str(caught.exception))

    def test_a_build_in_the_background(self):
        template = Template().from_template("base").run_cmd(f"sleep 1; echo slept # {self.mark}")
        built = Template.build_in_background(template, self.name, cpu_count=1, memory_mb=512)
        status = Template.get_build_status(built)
        self.assertEqual(status.status.value, "building")
        lines = []

        def over():
            told = Template.get_build_status(built, logs_offset=len(lines))
            lines.extend(entry.message for entry in told.log_entries)
            return told if told.status.value in ("ready", "error") and not told.log_entries else None

        self.assertEqual(until(over).status.value, "ready")
        self.assertIn("slept", lines)
        self.assertEqual(len(lines), len(set(lines)))

    @unittest.skipIf(VERSION < (2, 46), "it has no tags")
    def test_tags_lead_to_builds(self):
        def say(word):
            return Template().from_template("base").run_cmd(f"echo {word} > /tmp/said")

        def said(name):
            return self.create(template=name).files.read("/tmp/said").strip()

        one = self.build(say("one"), f"{self.name}:v1")
        self.assertFalse(Template.exists(f"{self.name}:v2"))
        with self.assertRaises(Exception):
            self.create(template=self.name)
        two = self.build(say("two"), tags=["v2", "default"])
        self.assertEqual(one.template_id, two.template_id)
        self.assertEqual((said(f"{self.name}:v1"), said(self.name)), ("one", "two"))
        tagged = Template.assign_tags(f"{self.name}:v1", ["default", "stable"])
        self.assertEqual(tagged.build_id, one.build_id)
        self.assertEqual((said(self.name), said(f"{self.name}:v2")), ("one", "two"))
        tags = {tag.tag: tag.build_id for tag in Template.get_tags(self.name)}
        expected = {"default": one.build_id, "stable": one.build_id, "v1": one.build_id, "v2": two.build_id}
        self.assertEqual(tags, expected)
        Template.remove_tags(self.name, ["stable"])
        self.assertFalse(Template.exists(f"{self.name}:stable"))
        self.assertTrue(Template.exists(self.name))

    def test_what_is_removed_lives_on_in_its_sandboxes(self):
        built = self.build(Template().from_template("base").run_cmd("echo here > /tmp/said"))
        sandbox = self.create(template=self.name)
        sandbox.pause()
        self.assertEqual(api("DELETE", f"/templates/{built.template_id}")[0], 204)
        self.assertFalse(Template.exists(self.name))
        self.assertEqual(api("DELETE", f"/templates/{built.template_id}")[0], 404)
        with self.assertRaises(Exception):
            self.create(template=self.name)
        sandbox.connect()
        self.assertEqual(sandbox.files.read("/tmp/said"), "here\n")
        self.assertEqual(sandbox.get_info().template_id, built.template_id)

    def test_teams_do_not_see_each_others(self):
        other = {"Soulbox-Team": "other"}
        built = self.build(Template().from_template("base").run_cmd("echo private"))

        def status(method, path, body=None):
            return api(method, path, body, other)[0]

        full = f"default%2F{self.name}"
        create = {"templateID": f"default/{self.name}"}
        self.assertEqual(status("GET", f"/templates/aliases/{self.name}"), 404)
        self.assertEqual(status("GET", f"/templates/aliases/{full}"), 403)
        self.assertEqual(status("POST", "/v2/sandboxes", create), 404)
        self.assertEqual(status("DELETE", f"/templates/{built.template_id}"), 403)
        place = f"/templates/{built.template_id}/builds/{built.build_id}/status"
        self.assertEqual(status("GET", place), 404)
        self.assertEqual(status("GET", f"/templates/{built.template_id}/files/{'a' * 64}"), 403)
        listed = {one["templateID"] for one in api("GET", "/templates", None, other)[2]}
        self.assertNotIn(built.template_id, listed)
        self.assertIn("base", listed)
        self.assertEqual(api("PATCH", f"/v2/templates/{self.name}", {"public": True})[0], 200)
        self.assertEqual(status("GET", f"/templates/aliases/{full}"), 200)
        self.assertEqual(status("GET", f"/templates/aliases/{self.name}"), 404)
        code, _, made = api("POST", "/v2/sandboxes", create, other)
        self.assertEqual((code, made["templateID"]), (201, built.template_id))
        self.assertEqual(status("DELETE", f"/sandboxes/{made['sandboxID']}"), 204)
        self.assertEqual(status("DELETE", f"/templates/{built.template_id}"), 404)
        self.assertEqual(status("PATCH", f"/v2/templates/{full}", {"public": False}), 404)

    def test_archives_that_are_wrong_are_refused(self):
        code, _, begun = api("POST", "/v3/templates", {"name": self.name})
        self.assertEqual(code, 202)
        hash = "ab" + self.mark
        place = f"/templates/{begun['templateID']}/files/{hash}"
        code, _, link = api("GET", place)
        self.assertEqual((code, link["present"]), (201, False))
        put = lambda url, body=b"x": request("PUT", url[url.index("/templates"):], body)
        for wrong in (place, f"{place}?until=9999999999&permission=00", link["url"].replace(hash, "cd" + self.mark)):
            self.assertEqual(put(wrong)[0], 403, wrong)
        self.assertFalse(api("GET", place)[2]["present"])
        self.assertEqual(put(link["url"])[0], 201)
        self.assertTrue(api("GET", place)[2]["present"])
        for wrong in ("..", "a%2Fb", "a" * 129):
            code = api("GET", f"/templates/{begun['templateID']}/files/{wrong}")[0]
            self.assertEqual(code, 400, wrong)
        # What was uploaded is no archive, and what was not is not there.
        for hash in (hash, "ef" + self.mark):
            _, _, begun = api("POST", "/v3/templates", {"name": self.name})
            build = f"{begun['templateID']}/builds/{begun['buildID']}"
            steps = [{"type": "COPY", "args": ["a", "/a"], "filesHash": hash}]
            body = {"fromTemplate": "base", "steps": steps}
            self.assertEqual(api("POST", f"/v2/templates/{build}", body)[0], 202)
            self.assertEqual(api("POST", f"/v2/templates/{build}", body)[0], 409, "it was started before")

            def over():
                told = api("GET", f"/templates/{build}/status")[2]
                return told if told["status"] == "error" else None

            self.assertEqual(until(over)["reason"]["step"], "1")

    def test_a_build_is_ended(self):
        template = Template().from_template("base").run_cmd(f"sleep 1000 # {self.mark}")
        built = Template.build_in_background(template, self.name, cpu_count=1, memory_mb=512)
        build = f"{built.template_id}/builds/{built.build_id}"
        self.assertEqual(api("DELETE", f"/v1/templates/{build}")[0], 204)

        def over():
            told = api("GET", f"/templates/{build}/status")[2]
            return told if told["status"] == "error" else None

        self.assertIn("cancelled", until(over)["reason"]["message"])
        self.assertEqual(api("DELETE", f"/v1/templates/{build}")[0], 409)

    def test_the_same_at_once_is_done_once(self):
        template = lambda: AsyncTemplate().from_template("base").run_cmd(f"sleep 0.5; echo {self.mark} | rev")

        async def both():
            heard = []

            async def one(name):
                def hear(entry):
                    heard.append(entry.message)
                await AsyncTemplate.build(template(), name, cpu_count=1, memory_mb=512, on_build_logs=hear)

            await asyncio.gather(one(f"{self.name}:a"), one(f"{self.name}:b"))
            return heard

        heard = asyncio.run(both())
        self.assertEqual(heard.count(self.mark[::-1]), 1, heard)

    def test_names_that_cannot_be(self):
        for name in ("", "a b", "a/b/c", "a:b:c", "-a", "ä", "a" * 65):
            self.assertEqual(api("POST", "/v3/templates", {"name": name})[0], 400, name)
        self.assertEqual(api("POST", "/v3/templates", {"name": "other/mine"})[0], 403)
        for name in ("base", "host", "code-interpreter-v1"):
            self.assertEqual(api("POST", "/v3/templates", {"name": name})[0], 409, name)
        for wrong in ({"cpuCount": 0}, {"cpuCount": 1000}, {"memoryMB": 1}, {"memoryMB": 2**40}, {"tags": [""]}):
            self.assertEqual(api("POST", "/v3/templates", {"name": self.name, **wrong})[0], 400, wrong)
        self.assertFalse(Template.exists(self.name))


if __name__ == "__main__":
    main()
