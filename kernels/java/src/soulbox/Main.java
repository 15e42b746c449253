package soulbox;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.LinkedBlockingQueue;

/** {@code java soulbox.Main ORDERS NEWS}: runs the cells of one context; with no words, what a build makes ready. */
public final class Main {
    private final Talk talk;
    private final Cells cells;
    private final LinkedBlockingQueue<Order> orders = new LinkedBlockingQueue<>();
    /** The serial number of the cell that runs; 0: none. */
    private int running;
    /** The one that was interrupted last, whether it had begun or not. */
    private int interrupted;

    /** Something that is to be done when its turn comes. */
    private interface Order {
        void follow() throws IOException;
    }

    private Main(Talk talk) {
        this.talk = talk;
        cells = new Cells(talk);
    }

    /** Begins. */
    public static void main(String[] words) throws Exception {
        // Whatever is printed is in its pipe at once, and in the order in which it was.
        System.setOut(new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(new FileOutputStream(FileDescriptor.err), true, StandardCharsets.UTF_8));
        boolean serves = words.length == 2;
        Main main = new Main(serves ? new Talk(words[0], words[1]) : new Talk("/dev/null", "/dev/null"));
        // A block leaves no variable behind.
        main.cells.run(0, "{ int warm = 1; warm += 1; }");
        if (serves) {
            main.serve();
        } else {
            main.cells.run(0, "int twice(int n) { return 2 * n; }\nfor (int i = 0; i < 2; i++) System.out.println(twice(i))");
            main.cells.run(0, "class Warm { int a; }\nList.of(1, 2).stream().map(i -> i + 1).collect(Collectors.toList())");
            main.cells.run(0, "throw new IllegalStateException(\"warm\")");
            main.cells.run(0, "int wrong = ;");
        }
        System.exit(0);
    }

    private void serve() throws IOException {
        talk.say('R', Runtime.version().toString());
        talk.say('E');
        Thread thread = new Thread(this::work, "soulbox-cells");
        thread.start();
        // The end of the orders is the end of the program.
        for (int kind = talk.kind(); kind >= 0; kind = talk.kind()) {
            hear(kind);
        }
    }

    private void hear(int kind) throws IOException {
        switch (kind) {
            case 'E':
                int serial = talk.number();
                int count = talk.number();
                Map<String, String> lent = talk.pairs();
                String code = talk.text();
                orders.add(() -> cell(serial, count, lent, code));
                break;
            case 'P':
                Map<String, String> lasting = talk.pairs();
                orders.add(() -> lasting.forEach(Main::set));
                break;
            case 'D':
                String directory = talk.text();
                orders.add(() -> System.setProperty("user.dir", directory));
                break;
            case 'I':
                interrupt(talk.number());
                break;
            default:
                throw new IOException("there is no order " + kind);
        }
    }

    private void work() {
        try {
            while (true) {
                Order order = orders.take();
                order.follow();
                talk.say('E');
            }
        } catch (InterruptedException | IOException e) {
            // Nobody hears what would be said about it.
            Runtime.getRuntime().halt(70);
        }
    }

    private synchronized void interrupt(int serial) {
        interrupted = serial;
        if (running == serial) {
            cells.interrupt();
        }
    }

    private void cell(int serial, int count, Map<String, String> lent, String code) throws IOException {
        synchronized (this) {
            cells.begin();
            running = serial;
            if (interrupted == serial) {
                cells.interrupt();
            }
        }
        Map<String, String> before = new HashMap<>();
        lent.forEach((name, value) -> before.put(name, System.getProperty(name)));
        lent.forEach(Main::set);
        try {
            cells.run(count, code);
        } catch (RuntimeException | Error e) {
            talk.say('X', e.getClass().getName(), String.valueOf(e.getMessage()), "the cell could not be run: " + e);
        } finally {
            before.forEach(Main::set);
            synchronized (this) {
                running = 0;
            }
        }
    }

    private static void set(String name, String value) {
        if (value == null) {
            System.clearProperty(name);
        } else {
            System.setProperty(name, value);
        }
    }
}
