package soulbox;

import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import jdk.jshell.DeclarationSnippet;
import jdk.jshell.JShell;
import jdk.jshell.Snippet;
import jdk.jshell.SnippetEvent;
import jdk.jshell.SourceCodeAnalysis;
import jdk.jshell.SourceCodeAnalysis.Completeness;
import jdk.jshell.SourceCodeAnalysis.CompletionInfo;
import jdk.jshell.spi.ExecutionControl;
import jdk.jshell.spi.ExecutionControlProvider;
import jdk.jshell.spi.ExecutionEnv;

/** Cells: each is a number of snippets, which JShell compiles and runs one after the other. */
final class Cells {
    /** What the `jshell` program imports, so that code from there runs here. */
    private static final List<String> IMPORTS = List.of(
        "java.io.*", "java.math.*", "java.net.*", "java.nio.file.*", "java.util.*", "java.util.concurrent.*",
        "java.util.function.*", "java.util.prefs.*", "java.util.regex.*", "java.util.stream.*");

    private static final Pattern BLANK = Pattern.compile("\\s++|//[^\n]*+|/\\*(?s:.*?)\\*/");

    private final Talk talk;
    private final Control control = new Control();
    private final JShell shell;
    private final SourceCodeAnalysis analysis;
    private final Map<String, Report.Place> places = new HashMap<>();

    Cells(Talk talk) {
        this.talk = talk;
        shell = JShell.builder().executionEngine(new Engine(control), Map.of()).build();
        analysis = shell.sourceCodeAnalysis();
        String path = System.getenv("CLASSPATH");
        if (path != null && !path.isEmpty()) {
            shell.addToClasspath(path);
        }
        for (String name : IMPORTS) {
            shell.eval("import " + name + ";");
        }
    }

    /** Stops the cell that runs. */
    void interrupt() {
        control.stop();
    }

    /** From now on cells may run again. */
    void begin() {
        control.begin();
    }

    /** Runs a cell; tells its value and its error. */
    void run(int number, String code) throws IOException {
        String value = null;
        String rest = code;
        while (true) {
            CompletionInfo info = analysis.analyzeCompletion(rest);
            if (info.completeness() == Completeness.EMPTY) {
                break;
            }
            // What is not complete is compiled for what the compiler says about it.
            boolean whole = info.source() == null || !info.completeness().isComplete();
            String source = whole ? rest : info.source();
            // JShell counts lines from where the code begins.
            int blank = blank(source);
            int begin = code.length() - rest.length() + blank;
            rest = whole ? "" : info.remaining();
            Report.Place place = new Report.Place(number, lines(code.substring(0, begin)));
            Step step = step(source.substring(blank), place);
            if (control.isStopped()) {
                talk.say('X', Report.interrupted().fields());
                return;
            }
            if (step.failed != null) {
                talk.say('X', step.failed.fields());
                return;
            }
            value = step.value;
        }
        unresolved(number);
        if (value != null) {
            talk.say('R', value);
        }
    }

    private Step step(String source, Report.Place place) {
        Step step = new Step();
        for (SnippetEvent event : shell.eval(source)) {
            Snippet snippet = event.snippet();
            // Others are about what was declared before and has changed by this.
            if (event.causeSnippet() != null) {
                continue;
            }
            places.put(snippet.id(), place);
            if (event.status() == Snippet.Status.REJECTED) {
                step.failed = Report.rejected(shell, snippet, place, source);
            } else if (event.exception() != null) {
                step.failed = Report.thrown(shell, event.exception(), places);
            } else {
                step.value = value(snippet, event.value());
            }
        }
        return step;
    }

    /** The value to show; none for statements and declarations, and for null. */
    private static String value(Snippet snippet, String value) {
        switch (snippet.subKind()) {
            case VAR_VALUE_SUBKIND:
            case OTHER_EXPRESSION_SUBKIND:
            case TEMP_VAR_EXPRESSION_SUBKIND:
                return "null".equals(value) ? null : value;
            default:
                return null;
        }
    }

    /** Says on standard error what of a cell waits for other declarations. */
    private void unresolved(int number) {
        shell.snippets()
            .filter(snippet -> snippet instanceof DeclarationSnippet)
            .filter(snippet -> places.containsKey(snippet.id()) && places.get(snippet.id()).cell() == number)
            .filter(snippet -> waits(shell.status(snippet)))
            .forEach(snippet -> System.err.println("soulbox: " + Report.missing(shell, (DeclarationSnippet) snippet)));
    }

    private static boolean waits(Snippet.Status status) {
        return status == Snippet.Status.RECOVERABLE_DEFINED || status == Snippet.Status.RECOVERABLE_NOT_DEFINED;
    }

    /** How many characters of space and comments there are before anything else. */
    private static int blank(String source) {
        Matcher matcher = BLANK.matcher(source);
        int at = 0;
        while (matcher.region(at, source.length()).lookingAt()) {
            at = matcher.end();
        }
        return at;
    }

    private static int lines(String text) {
        return (int) text.chars().filter(c -> c == '\n').count();
    }

    private static final class Step {
        private String value;
        private Report failed;
    }

    /** Gives JShell what runs its code: this machine. */
    private record Engine(Control control) implements ExecutionControlProvider {
        @Override
        public String name() {
            return "soulbox";
        }

        @Override
        public ExecutionControl generate(ExecutionEnv env, Map<String, String> parameters) {
            return control;
        }
    }
}
