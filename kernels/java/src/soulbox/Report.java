package soulbox;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import jdk.jshell.DeclarationSnippet;
import jdk.jshell.Diag;
import jdk.jshell.EvalException;
import jdk.jshell.JShell;
import jdk.jshell.JShellException;
import jdk.jshell.Snippet;
import jdk.jshell.UnresolvedReferenceException;

/** How the user is told what went wrong, in places of the cells that he has written. */
final class Report {
    /** Characters of an error's value, and of its traceback, as in the Python kernel. */
    private static final int VALUE = 256 * 1024;
    private static final int TRACEBACK = 1024 * 1024;

    /** Where a snippet stands: the number of its cell, and how many lines of that are before it. */
    record Place(int cell, int before) {
        String line(int line) {
            return "Cell[" + cell + "]:" + (before + line);
        }
    }

    private final String name;
    private final String value;
    private final String traceback;

    private Report(String name, String value, String traceback) {
        this.name = name;
        this.value = value;
        this.traceback = traceback;
    }

    String[] fields() {
        return new String[] {name, clip(value, VALUE), clip(traceback, TRACEBACK)};
    }

    /** The name that an interrupt has in Python, so that clients know one name for it. */
    static Report interrupted() {
        return new Report("KeyboardInterrupt", "", "KeyboardInterrupt: the cell was interrupted");
    }

    /** Code that could not be compiled; {@code source} is what was to be. */
    static Report rejected(JShell shell, Snippet snippet, Place place, String source) {
        List<String> told = new ArrayList<>();
        String first = "the code cannot be compiled";
        for (Diag diag : shell.diagnostics(snippet).filter(Diag::isError).collect(Collectors.toList())) {
            String message = diag.getMessage(Locale.ENGLISH);
            if (told.isEmpty()) {
                first = message.lines().findFirst().orElse(first);
            }
            told.add(pointed(diag, message, place, source));
        }
        return new Report("CompilationException", first, told.isEmpty() ? first : String.join("\n", told));
    }

    private static String pointed(Diag diag, String message, Place place, String source) {
        int at = (int) Math.max(0, Math.min(diag.getPosition(), source.length()));
        int begin = source.lastIndexOf('\n', at - 1) + 1;
        int end = source.indexOf('\n', at);
        String text = source.substring(begin, end < 0 ? source.length() : end);
        int line = 1 + (int) source.substring(0, begin).chars().filter(c -> c == '\n').count();
        return place.line(line) + ": " + message + "\n    " + text + "\n    " + " ".repeat(at - begin) + "^";
    }

    /** What a snippet has thrown. */
    static Report thrown(JShell shell, JShellException thrown, Map<String, Place> places) {
        if (thrown instanceof UnresolvedReferenceException) {
            DeclarationSnippet snippet = ((UnresolvedReferenceException) thrown).getSnippet();
            String text = missing(shell, snippet);
            return new Report("UnresolvedReferenceException", text, text + frames(thrown, places));
        }
        String name = name(thrown);
        String value = thrown.getMessage() == null ? "" : thrown.getMessage();
        StringBuilder traceback = new StringBuilder();
        int causes = 0;
        for (Throwable one = thrown; one != null && causes < 20; one = one.getCause(), causes++) {
            traceback.append(causes == 0 ? "" : "\nCaused by: ").append(name(one));
            if (one.getMessage() != null && !one.getMessage().isEmpty()) {
                traceback.append(": ").append(one.getMessage());
            }
            traceback.append(frames(one, places));
        }
        return new Report(name, value, traceback.toString());
    }

    /** What has to be declared before a declaration can be used. */
    static String missing(JShell shell, DeclarationSnippet snippet) {
        String names = shell.unresolvedDependencies(snippet).collect(Collectors.joining(", "));
        return snippet.name() + " cannot be used before this is declared: " + names;
    }

    private static String name(Throwable thrown) {
        return thrown instanceof EvalException
            ? ((EvalException) thrown).getExceptionClassName() : thrown.getClass().getName();
    }

    private static String frames(Throwable thrown, Map<String, Place> places) {
        StringBuilder text = new StringBuilder();
        for (StackTraceElement frame : thrown.getStackTrace()) {
            text.append("\n    at ").append(frame(frame, places));
        }
        return text.toString();
    }

    private static String frame(StackTraceElement frame, Map<String, Place> places) {
        String file = frame.getFileName();
        Place place = file != null && file.startsWith("#") ? places.get(file.substring(1)) : null;
        if (place == null) {
            return frame.toString();
        }
        String where = place.line(frame.getLineNumber());
        String owner = frame.getClassName().isEmpty() ? "" : frame.getClassName() + ".";
        String method = frame.getMethodName();
        return method == null || method.isEmpty() ? where : owner + method + " (" + where + ")";
    }

    private static String clip(String text, int limit) {
        return text.length() <= limit ? text : text.substring(0, limit) + "\u2026";
    }
}
