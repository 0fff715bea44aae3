import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

import org.eclipse.leshan.core.endpoint.Protocol;
import org.eclipse.leshan.core.link.DefaultLinkSerializer;
import org.eclipse.leshan.core.link.lwm2m.attributes.DefaultLwM2mAttributeParser;
import org.eclipse.leshan.core.link.lwm2m.attributes.LwM2mAttributeSet;
import org.eclipse.leshan.core.model.ObjectLoader;
import org.eclipse.leshan.core.model.ObjectModel;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mObject;
import org.eclipse.leshan.core.node.LwM2mObjectInstance;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.node.LwM2mResourceInstance;
import org.eclipse.leshan.core.node.LwM2mSingleResource;
import org.eclipse.leshan.core.observation.CompositeObservation;
import org.eclipse.leshan.core.observation.Observation;
import org.eclipse.leshan.core.observation.SingleObservation;
import org.eclipse.leshan.core.request.CancelObservationRequest;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.core.request.CreateRequest;
import org.eclipse.leshan.core.request.DeleteRequest;
import org.eclipse.leshan.core.request.DiscoverRequest;
import org.eclipse.leshan.core.request.DownlinkDeviceManagementRequest;
import org.eclipse.leshan.core.request.ExecuteRequest;
import org.eclipse.leshan.core.request.ObserveRequest;
import org.eclipse.leshan.core.request.ReadRequest;
import org.eclipse.leshan.core.request.WriteAttributesRequest;
import org.eclipse.leshan.core.request.WriteRequest;
import org.eclipse.leshan.core.response.DiscoverResponse;
import org.eclipse.leshan.core.response.LwM2mResponse;
import org.eclipse.leshan.core.response.ObserveCompositeResponse;
import org.eclipse.leshan.core.response.ObserveResponse;
import org.eclipse.leshan.core.response.ReadResponse;
import org.eclipse.leshan.server.LeshanServer;
import org.eclipse.leshan.server.LeshanServerBuilder;
import org.eclipse.leshan.server.model.VersionedModelProvider;
import org.eclipse.leshan.server.observation.ObservationListener;
import org.eclipse.leshan.server.registration.Registration;
import org.eclipse.leshan.server.registration.RegistrationListener;
import org.eclipse.leshan.server.registration.RegistrationUpdate;
import org.eclipse.leshan.transport.californium.server.endpoint.CaliforniumServerEndpointsProvider;
import org.eclipse.leshan.transport.californium.server.endpoint.coap.CoapServerProtocolProvider;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;

/**
 * A real Leshan server that a test drives by one JSON object per line: commands on stdin, answers and events on
 * stdout. It ends when stdin does. Arguments: UDP port (0 for any), folder of object definitions (or "-").
 */
public class LeshanPeer {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final long TIMEOUT_MS = 20_000;

    private final LeshanServer server;
    private final Map<String, SingleObservation> observations = new LinkedHashMap<>();

    public static void main(String[] arguments) throws Exception {
        LeshanPeer peer = new LeshanPeer(Integer.parseInt(arguments[0]), arguments[1]);
        peer.run();
        System.exit(0);
    }

    LeshanPeer(int port, String models) throws Exception {
        List<ObjectModel> definitions = new ArrayList<>(ObjectLoader.loadAllDefault());
        if (!models.equals("-")) {
            definitions.addAll(ObjectLoader.loadObjectsFromDir(new File(models), false));
        }
        LeshanServerBuilder builder = new LeshanServerBuilder();
        builder.setObjectModelProvider(new VersionedModelProvider(definitions));
        CaliforniumServerEndpointsProvider.Builder endpoints =
                new CaliforniumServerEndpointsProvider.Builder(new CoapServerProtocolProvider());
        endpoints.addEndpoint(new InetSocketAddress("127.0.0.1", port), Protocol.COAP);
        builder.setEndpointsProviders(endpoints.build());
        server = builder.build();
        server.getRegistrationService().addListener(registrations());
        server.getObservationService().addListener(notifications());
    }

    void run() throws Exception {
        server.start();
        emit(Map.of("event", "started", "uri", server.getEndpoint(Protocol.COAP).getURI().toString()));
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            JsonNode command = JSON.readTree(line);
            new Thread(() -> answer(command)).start();
        }
        server.destroy();
    }

    private void answer(JsonNode command) {
        Map<String, Object> answer = new LinkedHashMap<>();
        answer.put("id", command.get("id").asInt());
        try {
            perform(command, answer);
        } catch (Exception error) {
            answer.put("error", error.getClass().getSimpleName() + ": " + error.getMessage());
        }
        emit(answer);
    }

    private void perform(JsonNode command, Map<String, Object> answer) throws Exception {
        Registration client = server.getRegistrationService().getByEndpoint(command.get("endpoint").asText());
        if (client == null) {
            answer.put("error", "not registered");
            return;
        }
        String path = command.path("path").asText();
        if (command.get("do").asText().equals("forget")) {
            answer.put("count", server.getObservationService().cancelObservations(client, path));
            return;
        }
        LwM2mResponse response = server.send(client, request(command, path), TIMEOUT_MS);
        if (response == null) {
            answer.put("error", "timeout");
            return;
        }
        answer.put("code", response.getCode().getCode());
        if (response.getErrorMessage() != null) {
            answer.put("message", response.getErrorMessage());
        }
        if (response instanceof ObserveResponse && response.isSuccess()) {
            observations.put(path, ((ObserveResponse) response).getObservation());
        }
        if (response instanceof ReadResponse && response.isSuccess()) {
            answer.put("content", node(((ReadResponse) response).getContent()));
            Object coap = response.getCoapResponse();
            if (coap instanceof org.eclipse.californium.core.coap.Response) {
                answer.put("format", ((org.eclipse.californium.core.coap.Response) coap).getOptions().getContentFormat());
            }
        }
        if (response instanceof DiscoverResponse && response.isSuccess()) {
            answer.put("links",
                    new DefaultLinkSerializer().serializeCoreLinkFormat(((DiscoverResponse) response).getObjectLinks()));
        }
    }

    private DownlinkDeviceManagementRequest<? extends LwM2mResponse> request(JsonNode command, String path)
            throws Exception {
        ContentFormat format = command.hasNonNull("format") ? ContentFormat.fromName(command.get("format").asText()) : null;
        switch (command.get("do").asText()) {
        case "read":
            return new ReadRequest(format, path);
        case "discover":
            return new DiscoverRequest(path);
        case "execute":
            return new ExecuteRequest(path, command.path("arguments").asText(""));
        case "observe":
            return new ObserveRequest(format, path);
        case "cancel":
            return new CancelObservationRequest(observations.get(path));
        case "attributes":
            return new WriteAttributesRequest(path,
                    new LwM2mAttributeSet(new DefaultLwM2mAttributeParser().parseUriQuery(command.get("attributes").asText())));
        case "delete":
            return new DeleteRequest(path);
        case "create":
            return new CreateRequest(format, new LwM2mPath(path).getObjectId(),
                    new LwM2mObjectInstance(command.path("instance").asInt(0), resources(command.get("resources"))));
        case "write": {
            LwM2mPath target = new LwM2mPath(path);
            WriteRequest.Mode mode =
                    command.path("replace").asBoolean(true) ? WriteRequest.Mode.REPLACE : WriteRequest.Mode.UPDATE;
            if (target.isObjectInstance()) {
                return new WriteRequest(mode, format, target.getObjectId(), target.getObjectInstanceId(),
                        resources(command.get("resources")));
            }
            return new WriteRequest(mode, format, target,
                    resource(target.getResourceId(), command.get("type").asText(), command.get("value")));
        }
        default:
            throw new IllegalArgumentException("unknown command " + command.get("do"));
        }
    }

    /** {"5700": ["float", 21.5], …} */
    private static Collection<LwM2mResource> resources(JsonNode described) {
        List<LwM2mResource> resources = new ArrayList<>();
        described.fields().forEachRemaining(
                entry -> resources.add(resource(Integer.parseInt(entry.getKey()), entry.getValue().get(0).asText(), entry.getValue().get(1))));
        return resources;
    }

    private static LwM2mResource resource(int id, String type, JsonNode value) {
        switch (type) {
        case "string":
            return LwM2mSingleResource.newStringResource(id, value.asText());
        case "integer":
            return LwM2mSingleResource.newIntegerResource(id, value.asLong());
        case "float":
            return LwM2mSingleResource.newFloatResource(id, value.asDouble());
        case "boolean":
            return LwM2mSingleResource.newBooleanResource(id, value.asBoolean());
        case "time":
            return LwM2mSingleResource.newDateResource(id, new Date(value.asLong() * 1000));
        default:
            throw new IllegalArgumentException("unknown type " + type);
        }
    }

    private static Object node(LwM2mNode node) {
        if (node instanceof LwM2mObject) {
            return children(((LwM2mObject) node).getInstances());
        }
        if (node instanceof LwM2mObjectInstance) {
            return children(((LwM2mObjectInstance) node).getResources());
        }
        if (node instanceof LwM2mResourceInstance) {
            return value(((LwM2mResourceInstance) node).getValue());
        }
        LwM2mResource resource = (LwM2mResource) node;
        return resource.isMultiInstances() ? children(resource.getInstances()) : value(resource.getValue());
    }

    private static Map<String, Object> children(Map<Integer, ? extends LwM2mNode> nodes) {
        Map<String, Object> children = new LinkedHashMap<>();
        nodes.forEach((id, child) -> children.put(id.toString(), node(child)));
        return children;
    }

    private static Object value(Object value) {
        if (value instanceof Date) {
            return ((Date) value).getTime() / 1000;
        }
        return value instanceof Number || value instanceof Boolean ? value : String.valueOf(value);
    }

    private RegistrationListener registrations() {
        return new RegistrationListener() {
            @Override
            public void registered(Registration now, Registration before, Collection<Observation> lost) {
                emit(described("registered", now));
            }

            @Override
            public void updated(RegistrationUpdate update, Registration now, Registration before) {
                emit(described("updated", now));
            }

            @Override
            public void unregistered(Registration gone, Collection<Observation> lost, boolean expired, Registration next) {
                Map<String, Object> event = described("deregistered", gone);
                event.put("expired", expired);
                emit(event);
            }
        };
    }

    private static Map<String, Object> described(String name, Registration client) {
        Map<String, Object> event = new LinkedHashMap<>();
        event.put("event", name);
        event.put("endpoint", client.getEndpoint());
        event.put("lifetime", client.getLifeTimeInSec());
        event.put("version", client.getLwM2mVersion().toString());
        event.put("location", client.getId());
        event.put("links", new DefaultLinkSerializer().serializeCoreLinkFormat(client.getObjectLinks()));
        return event;
    }

    private ObservationListener notifications() {
        return new ObservationListener() {
            @Override
            public void newObservation(Observation observation, Registration client) {
            }

            @Override
            public void cancelled(Observation observation) {
            }

            @Override
            public void onResponse(SingleObservation observation, Registration client, ObserveResponse response) {
                Map<String, Object> event = new LinkedHashMap<>();
                event.put("event", "notification");
                event.put("endpoint", client.getEndpoint());
                event.put("path", observation.getPath().toString());
                event.put("code", response.getCode().getCode());
                if (response.isSuccess()) {
                    event.put("content", node(response.getContent()));
                }
                emit(event);
            }

            @Override
            public void onResponse(CompositeObservation observation, Registration client,
                    ObserveCompositeResponse response) {
            }

            @Override
            public void onError(Observation observation, Registration client, Exception error) {
                emit(Map.of("event", "notification-error", "endpoint", client.getEndpoint(), "error", String.valueOf(error)));
            }
        };
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
