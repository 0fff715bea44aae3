import java.io.File;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

import org.eclipse.californium.core.coap.Response;
import org.eclipse.leshan.core.Link;
import org.eclipse.leshan.core.attributes.AttributeSet;
import org.eclipse.leshan.core.model.ObjectLoader;
import org.eclipse.leshan.core.model.ObjectModel;
import org.eclipse.leshan.core.model.ResourceModel.Type;
import org.eclipse.leshan.core.node.LwM2mMultipleResource;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mObject;
import org.eclipse.leshan.core.node.LwM2mObjectInstance;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.node.LwM2mSingleResource;
import org.eclipse.leshan.core.observation.Observation;
import org.eclipse.leshan.core.request.CancelObservationRequest;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.core.request.CreateRequest;
import org.eclipse.leshan.core.request.DeleteRequest;
import org.eclipse.leshan.core.request.DiscoverRequest;
import org.eclipse.leshan.core.request.DownlinkRequest;
import org.eclipse.leshan.core.request.ExecuteRequest;
import org.eclipse.leshan.core.request.ObserveRequest;
import org.eclipse.leshan.core.request.ReadRequest;
import org.eclipse.leshan.core.request.WriteAttributesRequest;
import org.eclipse.leshan.core.request.WriteRequest;
import org.eclipse.leshan.core.response.CreateResponse;
import org.eclipse.leshan.core.response.DiscoverResponse;
import org.eclipse.leshan.core.response.LwM2mResponse;
import org.eclipse.leshan.core.response.ObserveResponse;
import org.eclipse.leshan.core.response.ReadResponse;
import org.eclipse.leshan.server.californium.LeshanServer;
import org.eclipse.leshan.server.californium.LeshanServerBuilder;
import org.eclipse.leshan.server.model.VersionedModelProvider;
import org.eclipse.leshan.server.observation.ObservationListener;
import org.eclipse.leshan.server.registration.Registration;
import org.eclipse.leshan.server.registration.RegistrationListener;
import org.eclipse.leshan.server.registration.RegistrationUpdate;

import com.fasterxml.jackson.databind.JsonNode;

/** Servers of Leshan 1.5, which speaks LwM2M 1.0 only. Argument: folder of object definitions. */
public class LeshanPeer extends Peer {
    private static final long TIMEOUT_MS = 20_000;

    private final VersionedModelProvider models;

    public static void main(String[] arguments) throws Exception {
        new LeshanPeer(arguments[0]).run();
    }

    LeshanPeer(String folder) {
        List<ObjectModel> definitions = new ArrayList<>(ObjectLoader.loadDefault());
        definitions.addAll(ObjectLoader.loadObjectsFromDir(new File(folder)));
        models = new VersionedModelProvider(definitions);
    }

    @Override
    Server create(int number, JsonNode command) {
        return new Leshan(number, models);
    }

    private static class Leshan extends Server {
        private final VersionedModelProvider models;
        private final Map<String, Observation> observations = new ConcurrentHashMap<>();
        private LeshanServer server;
        private int port = 0;

        Leshan(int number, VersionedModelProvider models) {
            super(number);
            this.models = models;
        }

        @Override
        void start() {
            server = new LeshanServerBuilder().setLocalAddress("127.0.0.1", port).disableSecuredEndpoint()
                    .setObjectModelProvider(models).build();
            server.getRegistrationService().addListener(registrations());
            server.getObservationService().addListener(notifications());
            server.start();
            port = server.getUnsecuredAddress().getPort();
        }

        @Override
        void stop() {
            server.destroy();
            observations.clear();
        }

        @Override
        String uri() {
            return "coap://127.0.0.1:" + port;
        }

        @Override
        void perform(JsonNode command, Map<String, Object> answer) throws Exception {
            Registration client = server.getRegistrationService().getByEndpoint(command.get("endpoint").asText());
            if (client == null) {
                answer.put("error", "not registered");
                return;
            }
            String path = command.path("path").asText();
            switch (command.get("do").asText()) {
            case "registration":
                answer.putAll(described("registration", client));
                break;
            case "forget":
                answer.put("count", server.getObservationService().cancelObservations(client, path));
                break;
            default:
                describe(command, path, server.send(client, request(command, path), TIMEOUT_MS), answer);
            }
        }

        private void describe(JsonNode command, String path, LwM2mResponse response, Map<String, Object> answer) {
            if (response == null) {
                answer.put("error", "timeout");
                return;
            }
            answer.put("code", response.getCode().getCode());
            if (response.getErrorMessage() != null) {
                answer.put("message", response.getErrorMessage());
            }
            if (response.getCoapResponse() instanceof Response) {
                answer.put("format", ((Response) response.getCoapResponse()).getOptions().getContentFormat());
            }
            if (!response.isSuccess()) {
                return;
            }
            if (response instanceof ObserveResponse && ((ObserveResponse) response).getObservation() != null) {
                observations.put(command.get("endpoint").asText() + path, ((ObserveResponse) response).getObservation());
            }
            if (response instanceof ReadResponse) {
                answer.put("content", plain(((ReadResponse) response).getContent()));
            }
            if (response instanceof CreateResponse) {
                answer.put("location", ((CreateResponse) response).getLocation());
            }
            if (response instanceof DiscoverResponse) {
                answer.put("links", Link.serialize(((DiscoverResponse) response).getObjectLinks()));
            }
        }

        private DownlinkRequest<? extends LwM2mResponse> request(JsonNode command, String path) throws Exception {
            ContentFormat format =
                    command.hasNonNull("format") ? ContentFormat.fromName(command.get("format").asText()) : null;
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
                return new CancelObservationRequest(observations.remove(command.get("endpoint").asText() + path));
            case "attributes":
                return new WriteAttributesRequest(path, AttributeSet.parse(command.get("attributes").asText()));
            case "delete":
                return new DeleteRequest(path);
            case "create":
                return create(command, format, new LwM2mPath(path).getObjectId());
            case "write":
                return write(command, format, new LwM2mPath(path));
            default:
                throw new IllegalArgumentException("unknown command " + command.get("do"));
            }
        }

        private static CreateRequest create(JsonNode command, ContentFormat format, int object) throws Exception {
            if (command.hasNonNull("resources")) {
                return new CreateRequest(format, object, resources(command.get("resources")));
            }
            List<LwM2mObjectInstance> instances = new ArrayList<>();
            command.get("instances").fields().forEachRemaining(entry -> instances
                    .add(new LwM2mObjectInstance(Integer.parseInt(entry.getKey()), resources(entry.getValue()))));
            return new CreateRequest(format, object, instances.toArray(new LwM2mObjectInstance[0]));
        }

        private static WriteRequest write(JsonNode command, ContentFormat format, LwM2mPath target) throws Exception {
            WriteRequest.Mode mode =
                    command.path("replace").asBoolean(true) ? WriteRequest.Mode.REPLACE : WriteRequest.Mode.UPDATE;
            if (target.isObjectInstance()) {
                return new WriteRequest(mode, format, target.getObjectId(), target.getObjectInstanceId(),
                        resources(command.get("resources")));
            }
            return new WriteRequest(mode, format, target.toString(), resource(target.getResourceId(), command.get("node")));
        }

        private static Collection<LwM2mResource> resources(JsonNode described) {
            List<LwM2mResource> resources = new ArrayList<>();
            described.fields().forEachRemaining(
                    entry -> resources.add(resource(Integer.parseInt(entry.getKey()), entry.getValue())));
            return resources;
        }

        private static LwM2mResource resource(int id, JsonNode described) {
            Type type = Type.valueOf(described.get(0).asText().toUpperCase());
            if (!described.get(1).isObject()) {
                return LwM2mSingleResource.newResource(id, value(type, described.get(1)), type);
            }
            Map<Integer, Object> values = new LinkedHashMap<>();
            described.get(1).fields().forEachRemaining(
                    entry -> values.put(Integer.parseInt(entry.getKey()), value(type, entry.getValue())));
            return LwM2mMultipleResource.newResource(id, values, type);
        }

        private static Object value(Type type, JsonNode value) {
            switch (type) {
            case INTEGER:
                return value.asLong();
            case FLOAT:
                return value.asDouble();
            case BOOLEAN:
                return value.asBoolean();
            case TIME:
                return new Date(value.asLong() * 1000);
            case OPAQUE:
                return bytes(value.asText());
            default:
                return value.asText();
            }
        }

        private static Object plain(LwM2mNode node) {
            if (node instanceof LwM2mObject) {
                return children(((LwM2mObject) node).getInstances());
            }
            if (node instanceof LwM2mObjectInstance) {
                return children(((LwM2mObjectInstance) node).getResources());
            }
            LwM2mResource resource = (LwM2mResource) node;
            if (!resource.isMultiInstances()) {
                return plainValue(resource.getValue());
            }
            Map<String, Object> children = new LinkedHashMap<>();
            resource.getValues().forEach((id, value) -> children.put(id.toString(), plainValue(value)));
            return children;
        }

        private static Map<String, Object> children(Map<Integer, ? extends LwM2mNode> nodes) {
            Map<String, Object> children = new LinkedHashMap<>();
            nodes.forEach((id, child) -> children.put(id.toString(), plain(child)));
            return children;
        }

        private static Object plainValue(Object value) {
            if (value instanceof Date) {
                return ((Date) value).getTime() / 1000;
            }
            if (value instanceof byte[]) {
                return hex((byte[]) value);
            }
            return value instanceof Number || value instanceof Boolean ? value : String.valueOf(value);
        }

        private RegistrationListener registrations() {
            return new RegistrationListener() {
                @Override
                public void registered(Registration now, Registration before, Collection<Observation> lost) {
                    event(described("registered", now));
                }

                @Override
                public void updated(RegistrationUpdate update, Registration now, Registration before) {
                    event(described("updated", now));
                }

                @Override
                public void unregistered(Registration gone, Collection<Observation> lost, boolean expired,
                        Registration next) {
                    Map<String, Object> event = described("deregistered", gone);
                    event.put("expired", expired);
                    event(event);
                }
            };
        }

        private static Map<String, Object> described(String name, Registration client) {
            Map<String, Object> event = new LinkedHashMap<>();
            event.put("event", name);
            event.put("endpoint", client.getEndpoint());
            event.put("lifetime", client.getLifeTimeInSec());
            event.put("version", client.getLwM2mVersion());
            event.put("binding", String.valueOf(client.getBindingMode()));
            event.put("queue", client.usesQueueMode());
            event.put("location", client.getId());
            event.put("attributes", client.getAdditionalRegistrationAttributes());
            event.put("links", Link.serialize(client.getObjectLinks()));
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
                public void onResponse(Observation observation, Registration client, ObserveResponse response) {
                    Map<String, Object> event = new LinkedHashMap<>();
                    event.put("event", "notification");
                    event.put("endpoint", client.getEndpoint());
                    event.put("path", observation.getPath().toString());
                    event.put("code", response.getCode().getCode());
                    if (response.isSuccess()) {
                        event.put("content", plain(response.getContent()));
                    }
                    event(event);
                }

                @Override
                public void onError(Observation observation, Registration client, Exception error) {
                    Map<String, Object> event = new LinkedHashMap<>();
                    event.put("event", "notification-error");
                    event.put("endpoint", client.getEndpoint());
                    event.put("error", String.valueOf(error));
                    event(event);
                }
            };
        }
    }
}
