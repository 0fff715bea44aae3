import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.Map;

import org.eclipse.leshan.core.observation.Observation;
import org.eclipse.leshan.server.queue.PresenceListener;
import org.eclipse.leshan.server.registration.Registration;
import org.eclipse.leshan.server.registration.RegistrationListener;
import org.eclipse.leshan.server.registration.RegistrationUpdate;

/** What all versions hear of their clients in the same way, as events. */
final class Clients implements PresenceListener, RegistrationListener {
    private final Peer.Server server;

    Clients(Peer.Server server) {
        this.server = server;
    }

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

    @Override
    public void onAwake(Registration client) {
        server.event(of("awake", client));
    }

    @Override
    public void onSleeping(Registration client) {
        server.event(of("sleeping", client));
    }

    static Map<String, Object> described(String name, Registration client) {
        Map<String, Object> event = of(name, client);
        event.put("lifetime", client.getLifeTimeInSec());
        event.put("version", client.getLwM2mVersion().toString());
        event.put("binding", String.valueOf(client.getBindingMode()));
        event.put("queue", client.usesQueueMode());
        event.put("location", client.getId());
        event.put("address", client.getAddress().getHostAddress());
        event.put("port", client.getPort());
        event.put("attributes", client.getAdditionalRegistrationAttributes());
        Values.describe(client, event);
        return event;
    }

    static Map<String, Object> of(String name, Registration client) {
        Map<String, Object> event = new LinkedHashMap<>();
        event.put("event", name);
        event.put("endpoint", client.getEndpoint());
        return event;
    }
}
