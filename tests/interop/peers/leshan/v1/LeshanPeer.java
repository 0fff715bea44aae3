import java.io.File;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

import org.eclipse.leshan.core.Link;
import org.eclipse.leshan.core.attributes.AttributeSet;
import org.eclipse.leshan.core.model.ObjectLoader;
import org.eclipse.leshan.core.model.ObjectModel;
import org.eclipse.leshan.core.observation.Observation;
import org.eclipse.leshan.core.request.CancelObservationRequest;
import org.eclipse.leshan.core.request.DownlinkRequest;
import org.eclipse.leshan.core.request.WriteAttributesRequest;
import org.eclipse.leshan.core.response.DiscoverResponse;
import org.eclipse.leshan.core.response.LwM2mResponse;
import org.eclipse.leshan.core.response.ObserveResponse;
import org.eclipse.leshan.server.californium.LeshanServer;
import org.eclipse.leshan.server.californium.LeshanServerBuilder;
import org.eclipse.leshan.server.model.VersionedModelProvider;
import org.eclipse.leshan.server.observation.ObservationListener;
import org.eclipse.leshan.server.queue.StaticClientAwakeTimeProvider;
import org.eclipse.leshan.server.registration.Registration;

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
        return new Leshan(number, models, command);
    }

    private static class Leshan extends Server {
        private final VersionedModelProvider models;
        private final JsonNode settings;
        private final Map<String, Observation> observations = new ConcurrentHashMap<>();
        private LeshanServer server;
        private int port = 0;

        Leshan(int number, VersionedModelProvider models, JsonNode settings) {
            super(number);
            this.models = models;
            this.settings = settings;
        }

        @Override
        void start() {
            LeshanServerBuilder builder = new LeshanServerBuilder().setLocalAddress("127.0.0.1", port)
                    .disableSecuredEndpoint().setObjectModelProvider(models);
            if (settings.hasNonNull("awake_ms")) {
                builder.setClientAwakeTimeProvider(new StaticClientAwakeTimeProvider(settings.get("awake_ms").asInt()));
            }
            server = builder.build();
            Clients clients = new Clients(this);
            server.getRegistrationService().addListener(clients);
            server.getPresenceService().addListener(clients);
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
        List<String> uris() {
            return List.of("coap://127.0.0.1:" + port);
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
                answer.putAll(Clients.described("registration", client));
                break;
            case "forget":
                answer.put("count", server.getObservationService().cancelObservations(client, path));
                break;
            default:
                describe(command, path, server.send(client, request(command, path), TIMEOUT_MS), answer);
            }
        }

        private void describe(JsonNode command, String path, LwM2mResponse response, Map<String, Object> answer) {
            if (!Answers.describe(response, answer)) {
                return;
            }
            if (response instanceof ObserveResponse && ((ObserveResponse) response).getObservation() != null) {
                observations.put(command.get("endpoint").asText() + path, ((ObserveResponse) response).getObservation());
            }
            if (response instanceof DiscoverResponse) {
                answer.put("links", Link.serialize(((DiscoverResponse) response).getObjectLinks()));
            }
        }

        private DownlinkRequest<? extends LwM2mResponse> request(JsonNode command, String path) throws Exception {
            switch (command.get("do").asText()) {
            case "cancel":
                return new CancelObservationRequest(observations.remove(command.get("endpoint").asText() + path));
            case "attributes":
                return new WriteAttributesRequest(path, AttributeSet.parse(command.get("attributes").asText()));
            default:
                return Requests.of(command);
            }
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
                    Map<String, Object> event = Clients.of("notification", client);
                    event.put("path", observation.getPath().toString());
                    event.put("code", response.getCode().getCode());
                    if (response.isSuccess()) {
                        event.put("content", Nodes.plain(response.getContent()));
                    }
                    event(event);
                }

                @Override
                public void onError(Observation observation, Registration client, Exception error) {
                    Map<String, Object> event = Clients.of("notification-error", client);
                    event.put("error", String.valueOf(error));
                    event(event);
                }
            };
        }
    }
}
