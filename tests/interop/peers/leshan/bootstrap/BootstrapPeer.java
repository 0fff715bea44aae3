import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

import org.eclipse.leshan.core.endpoint.Protocol;
import org.eclipse.leshan.core.node.LwM2mObjectInstance;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.request.BootstrapDeleteRequest;
import org.eclipse.leshan.core.request.BootstrapDiscoverRequest;
import org.eclipse.leshan.core.request.BootstrapDownlinkRequest;
import org.eclipse.leshan.core.request.BootstrapReadRequest;
import org.eclipse.leshan.core.request.BootstrapWriteRequest;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.core.response.LwM2mResponse;
import org.eclipse.leshan.server.bootstrap.BootstrapSession;
import org.eclipse.leshan.server.bootstrap.BootstrapTaskProvider;
import org.eclipse.leshan.server.bootstrap.LeshanBootstrapServer;
import org.eclipse.leshan.server.bootstrap.LeshanBootstrapServerBuilder;
import org.eclipse.leshan.server.bootstrap.endpoint.LwM2mBootstrapServerEndpoint;
import org.eclipse.leshan.server.californium.bootstrap.endpoint.CaliforniumBootstrapServerEndpoint;
import org.eclipse.leshan.server.californium.bootstrap.endpoint.CaliforniumBootstrapServerEndpointsProvider;
import org.eclipse.leshan.server.californium.bootstrap.endpoint.coap.CoapBootstrapServerProtocolProvider;
import org.eclipse.leshan.server.californium.bootstrap.endpoint.coaps.CoapsBootstrapServerProtocolProvider;
import org.eclipse.leshan.server.security.BootstrapSecurityStoreAdapter;
import org.eclipse.leshan.server.security.InMemorySecurityStore;

import com.fasterxml.jackson.databind.JsonNode;

/**
 * Bootstrap servers of Leshan 2.0.0-M15: the libraries of later ones are not published. A test says with "configure" what an endpoint is to be told, as "tasks": {"do": "discover",
 * "path"}, {"do": "read", "path"}, {"do": "delete", "path"} and {"do": "write", "path", "resources" or "node"}, one after
 * another; the server ends each session with Finish by itself. "format" is that of the writes, else what the client
 * prefers. How sessions go comes as events.
 */
public class BootstrapPeer extends Peer {
    public static void main(String[] arguments) throws Exception {
        new BootstrapPeer().run();
    }

    @Override
    Server create(int number, JsonNode command) {
        return new Leshan(number, command);
    }

    private static class Leshan extends Server implements BootstrapTaskProvider {
        /** Versions of the objects that can be written. */
        private static final Map<Integer, String> OBJECTS = Map.of(0, "1.1", 1, "1.1", 2, "1.0", 3, "1.1", 21, "1.0");

        private final JsonNode settings;
        /** By endpoint. */
        private final Map<String, JsonNode> configurations = new ConcurrentHashMap<>();
        private final InMemorySecurityStore credentials = new InMemorySecurityStore();
        /** Of each endpoint; none before the first start. */
        private List<Integer> ports = List.of();
        private LeshanBootstrapServer server;

        Leshan(int number, JsonNode settings) {
            super(number);
            this.settings = settings;
        }

        @Override
        void start() throws Exception {
            LeshanBootstrapServerBuilder builder = new LeshanBootstrapServerBuilder();
            builder.setTaskProvider(this);
            builder.setSecurityStore(new BootstrapSecurityStoreAdapter(credentials));
            Security.identify(settings, builder::setPrivateKey, builder::setPublicKey, builder::setCertificateChain,
                    builder::setTrustedCertificates);
            CaliforniumBootstrapServerEndpointsProvider.Builder endpoints =
                    new CaliforniumBootstrapServerEndpointsProvider.Builder(new CoapBootstrapServerProtocolProvider(),
                            new CoapsBootstrapServerProtocolProvider());
            endpoints.setConfiguration(values -> Security.configure(values, settings));
            forEachPort(settings, ports, (secure, address) -> endpoints
                    .addEndpoint(address, secure ? Protocol.COAPS : Protocol.COAP));
            builder.setEndpointsProviders(endpoints.build());
            server = builder.build();
            server.addListener(new Sessions(this));
            server.start();
            List<Integer> opened = new ArrayList<>();
            for (LwM2mBootstrapServerEndpoint endpoint : server.getEndpoints()) {
                opened.add(endpoint.getURI().getPort());
                ((CaliforniumBootstrapServerEndpoint) endpoint).getCoapEndpoint().addInterceptor(new Tap(this));
            }
            ports = opened;
        }

        @Override
        void stop() {
            server.destroy();
        }

        @Override
        List<String> uris() {
            return uris(settings, ports);
        }

        @Override
        void perform(JsonNode command, Map<String, Object> answer) throws Exception {
            String endpoint = command.get("endpoint").asText();
            switch (command.get("do").asText()) {
            case "configure":
                configurations.put(endpoint, command);
                break;
            case "forget":
                configurations.remove(endpoint);
                break;
            case "credential":
                Security.add(credentials, command);
                break;
            case "no-credential":
                credentials.remove(endpoint, true);
                break;
            default:
                throw new IllegalArgumentException("unknown command " + command.get("do"));
            }
        }

        @Override
        public Tasks getTasks(BootstrapSession session, List<LwM2mResponse> answers) {
            JsonNode configuration = configurations.get(session.getEndpoint());
            if (configuration == null) {
                return null;
            }
            ContentFormat wanted = Requests.format(configuration, "format");
            ContentFormat format = wanted == null ? session.getContentFormat() : wanted;
            Tasks tasks = new Tasks();
            tasks.requestsToSend = new ArrayList<>();
            configuration.get("tasks").forEach(task -> tasks.requestsToSend.add(request(task, format)));
            tasks.supportedObjects = OBJECTS;
            return tasks;
        }

        private static BootstrapDownlinkRequest<? extends LwM2mResponse> request(JsonNode task, ContentFormat format) {
            String path = task.path("path").asText("/");
            switch (task.get("do").asText()) {
            case "discover":
                return new BootstrapDiscoverRequest(path);
            case "read":
                return new BootstrapReadRequest(format, path);
            case "delete":
                return new BootstrapDeleteRequest(path);
            case "write":
                return write(task, format, new LwM2mPath(path));
            default:
                throw new IllegalArgumentException("unknown task " + task);
            }
        }

        private static BootstrapWriteRequest write(JsonNode task, ContentFormat format, LwM2mPath target) {
            if (target.isObjectInstance()) {
                return new BootstrapWriteRequest(target, new LwM2mObjectInstance(target.getObjectInstanceId(),
                        Nodes.resources(task.get("resources"))), format);
            }
            return new BootstrapWriteRequest(target, Values.node(target, task.get("node")), format);
        }
    }
}
