import java.io.File;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

import org.eclipse.californium.core.coap.CoAP;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.californium.core.network.CoapEndpoint;
import org.eclipse.californium.elements.AddressEndpointContext;
import org.eclipse.leshan.core.endpoint.Protocol;
import org.eclipse.leshan.core.link.DefaultLinkSerializer;
import org.eclipse.leshan.core.link.lwm2m.attributes.DefaultLwM2mAttributeParser;
import org.eclipse.leshan.core.link.lwm2m.attributes.LwM2mAttributeSet;
import org.eclipse.leshan.core.model.ObjectLoader;
import org.eclipse.leshan.core.model.ObjectModel;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.observation.CompositeObservation;
import org.eclipse.leshan.core.observation.Observation;
import org.eclipse.leshan.core.observation.SingleObservation;
import org.eclipse.leshan.core.request.CancelCompositeObservationRequest;
import org.eclipse.leshan.core.request.CancelObservationRequest;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.core.request.DownlinkDeviceManagementRequest;
import org.eclipse.leshan.core.request.ObserveCompositeRequest;
import org.eclipse.leshan.core.request.ReadCompositeRequest;
import org.eclipse.leshan.core.request.WriteAttributesRequest;
import org.eclipse.leshan.core.request.WriteCompositeRequest;
import org.eclipse.leshan.core.response.DiscoverResponse;
import org.eclipse.leshan.core.response.LwM2mResponse;
import org.eclipse.leshan.core.response.ObserveCompositeResponse;
import org.eclipse.leshan.core.response.ObserveResponse;
import org.eclipse.leshan.core.response.ReadCompositeResponse;
import org.eclipse.leshan.server.LeshanServer;
import org.eclipse.leshan.server.LeshanServerBuilder;
import org.eclipse.leshan.server.endpoint.LwM2mServerEndpoint;
import org.eclipse.leshan.server.model.VersionedModelProvider;
import org.eclipse.leshan.server.queue.StaticClientAwakeTimeProvider;
import org.eclipse.leshan.server.registration.Registration;
import org.eclipse.leshan.servers.security.InMemorySecurityStore;
import org.eclipse.leshan.transport.californium.server.endpoint.CaliforniumServerEndpoint;
import org.eclipse.leshan.transport.californium.server.endpoint.CaliforniumServerEndpointsProvider;
import org.eclipse.leshan.transport.californium.server.endpoint.coap.CoapServerProtocolProvider;
import org.eclipse.leshan.transport.californium.server.endpoint.coaps.CoapsServerProtocolProvider;

import com.fasterxml.jackson.databind.JsonNode;

/** Servers of Leshan 2. Argument: folder of object definitions. */
public class LeshanPeer extends Peer {
    private static final long TIMEOUT_MS = 20_000;

    private final VersionedModelProvider models;

    public static void main(String[] arguments) throws Exception {
        new LeshanPeer(arguments[0]).run();
    }

    LeshanPeer(String folder) throws Exception {
        List<ObjectModel> definitions = new ArrayList<>(ObjectLoader.loadAllDefault());
        definitions.addAll(ObjectLoader.loadObjectsFromDir(new File(folder), false));
        models = new VersionedModelProvider(definitions);
    }

    @Override
    Server create(int number, JsonNode command) {
        return new Leshan(number, models, command);
    }

    private static class Leshan extends Server {
        private final VersionedModelProvider models;
        private final JsonNode settings;
        private final Map<String, Observation> observations = new ConcurrentHashMap<>();
        private final InMemorySecurityStore credentials = new InMemorySecurityStore();
        /** Of each endpoint; none before the first start. */
        private List<Integer> ports = List.of();
        private LeshanServer server;

        Leshan(int number, VersionedModelProvider models, JsonNode settings) {
            super(number);
            this.models = models;
            this.settings = settings;
        }

        @Override
        void start() throws Exception {
            LeshanServerBuilder builder = new LeshanServerBuilder();
            builder.setObjectModelProvider(models);
            builder.setSecurityStore(credentials);
            if (settings.hasNonNull("awake_ms")) {
                builder.setClientAwakeTimeProvider(new StaticClientAwakeTimeProvider(settings.get("awake_ms").asInt()));
            }
            Security.identify(settings, builder::setPrivateKey, builder::setPublicKey, builder::setCertificateChain,
                    builder::setTrustedCertificates);
            builder.setEndpointsProviders(endpoints());
            server = builder.build();
            Clients clients = new Clients(this);
            server.getRegistrationService().addListener(clients);
            server.getPresenceService().addListener(clients);
            Listeners listeners = new Listeners(this);
            server.getObservationService().addListener(listeners);
            server.getSendService().addListener(listeners.sends());
            server.start();
            List<Integer> opened = new ArrayList<>();
            for (LwM2mServerEndpoint endpoint : server.getEndpoints()) {
                opened.add(endpoint.getURI().getPort());
                coap(endpoint).addInterceptor(new Tap(this));
            }
            ports = opened;
        }

        private CaliforniumServerEndpointsProvider endpoints() {
            CaliforniumServerEndpointsProvider.Builder endpoints = new CaliforniumServerEndpointsProvider.Builder(
                    new CoapServerProtocolProvider(), new CoapsServerProtocolProvider());
            endpoints.setConfiguration(values -> Security.configure(values, settings));
            forEachPort(settings, ports, (secure, address) -> endpoints
                    .addEndpoint(address, secure ? Protocol.COAPS : Protocol.COAP));
            return endpoints.build();
        }

        @Override
        void stop() {
            server.destroy();
            observations.clear();
        }

        @Override
        List<String> uris() {
            return uris(settings, ports);
        }

        private static CoapEndpoint coap(LwM2mServerEndpoint endpoint) {
            return ((CaliforniumServerEndpoint) endpoint).getCoapEndpoint();
        }

        @Override
        void perform(JsonNode command, Map<String, Object> answer) throws Exception {
            switch (command.get("do").asText()) {
            case "credential":
                Security.add(credentials, command);
                break;
            case "no-credential":
                credentials.remove(command.get("endpoint").asText(), true);
                break;
            default:
                Registration client = server.getRegistrationService().getByEndpoint(command.get("endpoint").asText());
                if (client == null) {
                    answer.put("error", "not registered");
                    return;
                }
                perform(client, command, answer);
            }
        }

        private void perform(Registration client, JsonNode command, Map<String, Object> answer) throws Exception {
            String path = command.path("path").asText();
            switch (command.get("do").asText()) {
            case "registration":
                answer.putAll(Clients.described("registration", client));
                break;
            case "forget":
                answer.put("count", forget(client, path));
                break;
            case "unregister":
                server.getRegistrationStore().removeRegistration(client.getId());
                break;
            case "messages":
                answer.put("messages", messages(client.getPort()));
                break;
            case "raw":
                raw(client, command, answer);
                break;
            default:
                long timeout = command.path("timeout_ms").asLong(TIMEOUT_MS);
                describe(command, path, server.send(client, request(command, path), timeout), answer);
            }
        }

        /** Ends observations on the server's side only: the next notification meets a Reset. */
        private int forget(Registration client, String path) {
            if (!path.isEmpty()) {
                return server.getObservationService().cancelObservations(client, path);
            }
            return server.getObservationService().cancelObservations(client);
        }

        /** A request that Leshan itself would not make. */
        private void raw(Registration client, JsonNode command, Map<String, Object> answer) throws Exception {
            Request request = new Request(CoAP.Code.valueOf(command.get("method").asText()));
            request.setDestinationContext(new AddressEndpointContext(client.getSocketAddress()));
            request.getOptions().setUriPath(command.path("path").asText());
            if (command.hasNonNull("query")) {
                request.getOptions().setUriQuery(command.get("query").asText());
            }
            if (command.hasNonNull("content_format")) {
                request.getOptions().setContentFormat(command.get("content_format").asInt());
            }
            if (command.hasNonNull("accept")) {
                request.getOptions().setAccept(command.get("accept").asInt());
            }
            if (command.hasNonNull("payload")) {
                request.setPayload(bytes(command.get("payload").asText()));
            }
            request.send(coap(server.getEndpoint(Protocol.COAP)));
            Response response = request.waitForResponse(TIMEOUT_MS);
            if (response == null) {
                answer.put("error", "timeout");
                return;
            }
            answer.put("code", response.getCode().codeClass * 100 + response.getCode().codeDetail);
            answer.put("payload", hex(response.getPayload()));
            answer.put("format", response.getOptions().getContentFormat());
        }

        private void describe(JsonNode command, String path, LwM2mResponse response, Map<String, Object> answer) {
            if (!Answers.describe(response, answer)) {
                return;
            }
            if (response instanceof ObserveResponse && ((ObserveResponse) response).getObservation() != null) {
                observations.put(command.get("endpoint").asText() + path, ((ObserveResponse) response).getObservation());
            }
            if (response instanceof ObserveCompositeResponse) {
                observations.put(command.get("endpoint").asText() + command.path("paths"),
                        ((ObserveCompositeResponse) response).getObservation());
            }
            if (response instanceof ReadCompositeResponse) {
                answer.put("content", Values.plain(((ReadCompositeResponse) response).getContent()));
            }
            if (response instanceof DiscoverResponse) {
                answer.put("links", new DefaultLinkSerializer()
                        .serializeCoreLinkFormat(((DiscoverResponse) response).getObjectLinks()));
            }
        }

        private DownlinkDeviceManagementRequest<? extends LwM2mResponse> request(JsonNode command, String path)
                throws Exception {
            ContentFormat format = Requests.format(command, "format");
            ContentFormat answer = Requests.format(command, "answer_format");
            switch (command.get("do").asText()) {
            case "cancel":
                return new CancelObservationRequest(
                        (SingleObservation) observations.remove(command.get("endpoint").asText() + path));
            case "attributes":
                return new WriteAttributesRequest(path, new LwM2mAttributeSet(
                        new DefaultLwM2mAttributeParser().parseUriQuery(command.get("attributes").asText())));
            case "read-composite":
                return new ReadCompositeRequest(format, answer, paths(command));
            case "observe-composite":
                return new ObserveCompositeRequest(format, answer, paths(command));
            case "cancel-composite":
                return new CancelCompositeObservationRequest((CompositeObservation) observations
                        .remove(command.get("endpoint").asText() + command.path("paths")));
            case "write-composite":
                Map<LwM2mPath, LwM2mNode> nodes = new LinkedHashMap<>();
                command.get("nodes").fields().forEachRemaining(entry -> {
                    LwM2mPath target = new LwM2mPath(entry.getKey());
                    nodes.put(target, Values.node(target, entry.getValue()));
                });
                return new WriteCompositeRequest(format, nodes, null);
            default:
                return Requests.of(command);
            }
        }

        private static String[] paths(JsonNode command) {
            List<String> paths = new ArrayList<>();
            command.get("paths").forEach(path -> paths.add(path.asText()));
            return paths.toArray(new String[0]);
        }
    }
}
