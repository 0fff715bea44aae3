import java.util.List;
import java.util.Map;

import org.eclipse.leshan.core.node.TimestampedLwM2mNodes;
import org.eclipse.leshan.core.observation.CompositeObservation;
import org.eclipse.leshan.core.observation.Observation;
import org.eclipse.leshan.core.observation.SingleObservation;
import org.eclipse.leshan.core.request.SendRequest;
import org.eclipse.leshan.core.response.ObserveCompositeResponse;
import org.eclipse.leshan.core.response.ObserveResponse;
import org.eclipse.leshan.server.observation.ObservationListener;
import org.eclipse.leshan.server.registration.Registration;
import org.eclipse.leshan.server.send.SendListener;

/** What Leshan 2 is told by its clients, as events. */
final class Listeners implements ObservationListener {
    private final Peer.Server server;

    Listeners(Peer.Server server) {
        this.server = server;
    }

    @Override
    public void newObservation(Observation observation, Registration client) {
    }

    @Override
    public void cancelled(Observation observation) {
    }

    @Override
    public void onResponse(SingleObservation observation, Registration client, ObserveResponse response) {
        Map<String, Object> event = Clients.of("notification", client);
        event.put("path", observation.getPath().toString());
        event.put("code", response.getCode().getCode());
        if (response.isSuccess()) {
            event.put("content", Nodes.plain(response.getContent()));
            List<?> samples = response.getTimestampedLwM2mNodes();
            event.put("samples", samples == null ? null : Values.samples(response.getTimestampedLwM2mNodes()));
        }
        server.event(event);
    }

    @Override
    public void onResponse(CompositeObservation observation, Registration client,
            ObserveCompositeResponse response) {
        Map<String, Object> event = Clients.of("composite-notification", client);
        event.put("paths", observation.getPaths().toString());
        event.put("code", response.getCode().getCode());
        if (response.isSuccess()) {
            event.put("content", Values.plain(response.getContent()));
            TimestampedLwM2mNodes samples = response.getTimestampedLwM2mNodes();
            event.put("samples", samples == null ? null : Values.samples(samples));
        }
        server.event(event);
    }

    @Override
    public void onError(Observation observation, Registration client, Exception error) {
        Map<String, Object> event = Clients.of("notification-error", client);
        event.put("error", String.valueOf(error));
        server.event(event);
    }

    SendListener sends() {
        return new SendListener() {
            @Override
            public void dataReceived(Registration client, TimestampedLwM2mNodes data, SendRequest request) {
                Map<String, Object> event = Clients.of("send", client);
                event.put("format", request.getFormat().getName());
                event.put("samples", Values.samples(data));
                server.event(event);
            }

            @Override
            public void onError(Registration client, String message, Exception error) {
                Map<String, Object> event = Clients.of("send-error", client);
                event.put("error", message + " " + error);
                server.event(event);
            }
        };
    }
}
