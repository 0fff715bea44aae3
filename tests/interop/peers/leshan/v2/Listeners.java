import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

import org.eclipse.leshan.core.link.DefaultLinkSerializer;
import org.eclipse.leshan.core.node.TimestampedLwM2mNodes;
import org.eclipse.leshan.core.observation.CompositeObservation;
import org.eclipse.leshan.core.observation.Observation;
import org.eclipse.leshan.core.observation.SingleObservation;
import org.eclipse.leshan.core.request.SendRequest;
import org.eclipse.leshan.core.response.ObserveCompositeResponse;
import org.eclipse.leshan.core.response.ObserveResponse;
import org.eclipse.leshan.server.observation.ObservationListener;
import org.eclipse.leshan.server.queue.PresenceListener;
import org.eclipse.leshan.server.registration.Registration;
import org.eclipse.leshan.server.registration.RegistrationListener;
import org.eclipse.leshan.server.registration.RegistrationUpdate;
import org.eclipse.leshan.server.send.SendListener;

/** What Leshan 2 hears of its clients, as events. */
final class Listeners {
    private final Peer.Server server;

    Listeners(Peer.Server server) {
        this.server = server;
    }

    RegistrationListener registrations() {
        return new RegistrationListener() {
            @Override
            public void registered(Registration now, Registration before, Collection<Observation> lost) {
                server.event(described("registered", now));
            }

            @Override
            public void updated(RegistrationUpdate update, Registration now, Registration before) {
                server.event(described("updated", now));
            }

            @Override
            public void unregistered(Registration gone, Collection<Observation> lost, boolean expired, Registration next) {
                Map<String, Object> event = described("deregistered", gone);
                event.put("expired", expired);
                server.event(event);
            }
        };
    }

    static Map<String, Object> described(String name, Registration client) {
        Map<String, Object> event = of(name, client);
        event.put("lifetime", client.getLifeTimeInSec());
        event.put("version", client.getLwM2mVersion().toString());
        event.put("binding", String.valueOf(client.getBindingMode()));
        event.put("queue", client.usesQueueMode());
        event.put("location", client.getId());
        event.put("port", client.getPort());
        event.put("formats", String.valueOf(client.getSupportedContentFormats()));
        event.put("attributes", client.getAdditionalRegistrationAttributes());
        event.put("links", new DefaultLinkSerializer().serializeCoreLinkFormat(client.getObjectLinks()));
        return event;
    }

    private static Map<String, Object> of(String name, Registration client) {
        Map<String, Object> event = new LinkedHashMap<>();
        event.put("event", name);
        event.put("endpoint", client.getEndpoint());
        return event;
    }

    ObservationListener notifications() {
        return new ObservationListener() {
            @Override
            public void newObservation(Observation observation, Registration client) {
            }

            @Override
            public void cancelled(Observation observation) {
            }

            @Override
            public void onResponse(SingleObservation observation, Registration client, ObserveResponse response) {
                Map<String, Object> event = of("notification", client);
                event.put("path", observation.getPath().toString());
                event.put("code", response.getCode().getCode());
                if (response.isSuccess()) {
                    event.put("content", Nodes.plain(response.getContent()));
                    List<?> samples = response.getTimestampedLwM2mNodes();
                    event.put("samples", samples == null ? null : Nodes.samples(response.getTimestampedLwM2mNodes()));
                }
                server.event(event);
            }

            @Override
            public void onResponse(CompositeObservation observation, Registration client,
                    ObserveCompositeResponse response) {
                Map<String, Object> event = of("composite-notification", client);
                event.put("paths", observation.getPaths().toString());
                event.put("code", response.getCode().getCode());
                if (response.isSuccess()) {
                    event.put("content", Nodes.plain(response.getContent()));
                    TimestampedLwM2mNodes samples = response.getTimestampedLwM2mNodes();
                    event.put("samples", samples == null ? null : Nodes.samples(samples));
                }
                server.event(event);
            }

            @Override
            public void onError(Observation observation, Registration client, Exception error) {
                Map<String, Object> event = of("notification-error", client);
                event.put("error", String.valueOf(error));
                server.event(event);
            }
        };
    }

    SendListener sends() {
        return new SendListener() {
            @Override
            public void dataReceived(Registration client, TimestampedLwM2mNodes data, SendRequest request) {
                Map<String, Object> event = of("send", client);
                event.put("format", request.getFormat().getName());
                event.put("samples", Nodes.samples(data));
                server.event(event);
            }

            @Override
            public void onError(Registration client, String message, Exception error) {
                Map<String, Object> event = of("send-error", client);
                event.put("error", message + " " + error);
                server.event(event);
            }
        };
    }

    PresenceListener presence() {
        return new PresenceListener() {
            @Override
            public void onAwake(Registration client) {
                server.event(of("awake", client));
            }

            @Override
            public void onSleeping(Registration client) {
                server.event(of("sleeping", client));
            }
        };
    }
}
