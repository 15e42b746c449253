package soulbox;

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/** The two pipes to the program that has started this machine; {@code soulbox_java/machine.py} tells their frames. */
final class Talk {
    private final DataInputStream in;
    private final DataOutputStream out;

    Talk(String orders, String news) throws IOException {
        in = new DataInputStream(new BufferedInputStream(new FileInputStream(orders)));
        out = new DataOutputStream(new BufferedOutputStream(new FileOutputStream(news)));
    }

    /** What the next order is; -1 when no more will come. */
    int kind() throws IOException {
        return in.read();
    }

    int number() throws IOException {
        return in.readInt();
    }

    String text() throws IOException {
        int size = in.readInt();
        return size < 0 ? null : new String(in.readNBytes(size), StandardCharsets.UTF_8);
    }

    Map<String, String> pairs() throws IOException {
        Map<String, String> pairs = new LinkedHashMap<>();
        for (int left = number(); left > 0; left--) {
            String name = text();
            pairs.put(name, text());
        }
        return pairs;
    }

    /** Says something; what was printed before is in its pipes by then. */
    void say(char kind, String... texts) throws IOException {
        System.out.flush();
        System.err.flush();
        out.writeByte(kind);
        for (String text : texts) {
            byte[] body = text.getBytes(StandardCharsets.UTF_8);
            out.writeInt(body.length);
            out.write(body);
        }
        out.flush();
    }
}
