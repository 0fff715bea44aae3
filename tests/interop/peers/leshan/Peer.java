import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.InetSocketAddress;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.BiConsumer;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;

/**
 * What the fronts of all Leshan versions share: a test drives servers by one JSON object per line, commands on stdin,
 * answers and events on stdout. Each line names its server, so one process serves many tests. It ends when stdin does.
 */
abstract class Peer {
    static final ObjectMapper JSON = new ObjectMapper();
    /** More messages than any test looks back at. */
    private static final int MESSAGES = 20_000;

    private final Map<Integer, Server> servers = new ConcurrentHashMap<>();

    /** One LwM2M server with a port of its own. */
    abstract static class Server {
        final int number;
        private final Deque<Map<String, Object>> messages = new ArrayDeque<>();

        Server(int number) {
            this.number = number;
        }

        /** Opens the port; the first time any free one, later the same. */
        abstract void start() throws Exception;

        /** Closes the port and forgets every registration. */
        abstract void stop() throws Exception;

        /** Where clients find it, by the order in which its ports were asked for. */
        abstract List<String> uris();

        abstract void perform(JsonNode command, Map<String, Object> answer) throws Exception;

        void event(Map<String, Object> event) {
            Map<String, Object> line = new LinkedHashMap<>();
            line.put("server", number);
            line.putAll(event);
            emit(line);
        }

        /** Opens one port after another: whether it is to be secure, and where, with port 0 for any. */
        static void forEachPort(JsonNode settings, List<Integer> ports, BiConsumer<Boolean, InetSocketAddress> open) {
            List<String> schemes = schemes(settings);
            for (int at = 0; at < schemes.size(); at++) {
                int port = ports.isEmpty() ? 0 : ports.get(at);
                open.accept(schemes.get(at).equals("coaps"), new InetSocketAddress(host(settings, at), port));
            }
        }

        static List<String> uris(JsonNode settings, List<Integer> ports) {
            List<String> schemes = schemes(settings);
            List<String> uris = new ArrayList<>();
            for (int at = 0; at < ports.size(); at++) {
                String host = host(settings, at);
                host = host.contains(":") ? "[" + host + "]" : host;
                uris.add(schemes.get(at) + "://" + host + ":" + ports.get(at));
            }
            return uris;
        }

        /** Of one port; all are on this machine alone where a test does not say. */
        private static String host(JsonNode settings, int at) {
            return settings.path("hosts").path(at).asText("127.0.0.1");
        }

        /** "coap" or "coaps" for each port that a test asks for; one without security where it asks for none. */
        private static List<String> schemes(JsonNode settings) {
            List<String> schemes = new ArrayList<>();
            settings.path("endpoints").forEach(scheme -> schemes.add(scheme.asText()));
            return schemes.isEmpty() ? List.of("coap") : schemes;
        }

        /** Notes a message on the wire. */
        void message(Map<String, Object> message) {
            synchronized (messages) {
                if (messages.size() == MESSAGES) {
                    messages.removeFirst();
                }
                messages.addLast(message);
            }
        }

        /** The messages to and from one UDP port of a client. */
        List<Map<String, Object>> messages(int port) {
            List<Map<String, Object>> found = new ArrayList<>();
            synchronized (messages) {
                for (Map<String, Object> message : messages) {
                    if (message.get("port").equals(port)) {
                        found.add(message);
                    }
                }
            }
            return found;
        }
    }

    /** A server that is not started yet. */
    abstract Server create(int number, JsonNode command) throws Exception;

    void run() throws Exception {
        emit(Map.of("event", "ready"));
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            JsonNode command = JSON.readTree(line);
            new Thread(() -> answer(command)).start();
        }
        System.exit(0);
    }

    private void answer(JsonNode command) {
        Map<String, Object> answer = new LinkedHashMap<>();
        int number = command.get("server").asInt();
        answer.put("server", number);
        answer.put("id", command.get("id").asInt());
        try {
            perform(number, command, answer);
        } catch (Exception error) {
            String cause = error.getCause() == null ? "" : " (" + error.getCause().getMessage() + ")";
            answer.put("error", error.getClass().getSimpleName() + ": " + error.getMessage() + cause);
        }
        emit(answer);
    }

    private void perform(int number, JsonNode command, Map<String, Object> answer) throws Exception {
        switch (command.get("do").asText()) {
        case "open":
            Server opened = create(number, command);
            opened.start();
            servers.put(number, opened);
            answer.put("uris", opened.uris());
            break;
        case "start":
            servers.get(number).start();
            break;
        case "stop":
            servers.get(number).stop();
            break;
        case "close":
            servers.remove(number).stop();
            break;
        default:
            servers.get(number).perform(command, answer);
        }
    }

    static String hex(byte[] bytes) {
        StringBuilder text = new StringBuilder();
        for (byte one : bytes) {
            text.append(String.format("%02x", one));
        }
        return text.toString();
    }

    static byte[] bytes(String hex) {
        byte[] bytes = new byte[hex.length() / 2];
        for (int at = 0; at < bytes.length; at++) {
            bytes[at] = (byte) Integer.parseInt(hex.substring(2 * at, 2 * at + 2), 16);
        }
        return bytes;
    }

    private static synchronized void emit(Map<String, Object> line) {
        try {
            System.out.println(JSON.writeValueAsString(line));
            System.out.flush();
        } catch (Exception error) {
            System.err.println("cannot write: " + error);
        }
    }
}
