import java.util.LinkedHashMap;
import java.util.Map;

import org.eclipse.leshan.core.link.DefaultLinkSerializer;
import org.eclipse.leshan.core.peer.LwM2mPeer;
import org.eclipse.leshan.core.request.BootstrapDownlinkRequest;
import org.eclipse.leshan.core.request.BootstrapRequest;
import org.eclipse.leshan.core.request.SimpleDownlinkRequest;
import org.eclipse.leshan.core.response.BootstrapDiscoverResponse;
import org.eclipse.leshan.core.response.BootstrapReadResponse;
import org.eclipse.leshan.core.response.LwM2mResponse;
import org.eclipse.leshan.server.bootstrap.BootstrapFailureCause;
import org.eclipse.leshan.server.bootstrap.BootstrapSession;
import org.eclipse.leshan.server.bootstrap.BootstrapSessionListener;

/** How bootstrap sessions go, as events. */
final class Sessions implements BootstrapSessionListener {
    private final Peer.Server server;

    Sessions(Peer.Server server) {
        this.server = server;
    }

    private static Map<String, Object> of(String name, String endpoint) {
        Map<String, Object> event = new LinkedHashMap<>();
        event.put("event", name);
        event.put("endpoint", endpoint);
        return event;
    }

    private static Map<String, Object> of(String name, BootstrapSession session) {
        return of(name, session.getEndpoint());
    }

    /** "task" is the kind of request: BootstrapWriteRequest and so on. */
    private static Map<String, Object> of(String name, BootstrapSession session, BootstrapDownlinkRequest<?> request) {
        Map<String, Object> event = of(name, session);
        event.put("task", request.getClass().getSimpleName());
        if (request instanceof SimpleDownlinkRequest) {
            event.put("path", String.valueOf(((SimpleDownlinkRequest<?>) request).getPath()));
        }
        return event;
    }

    private static Map<String, Object> answered(BootstrapSession session, BootstrapDownlinkRequest<?> request,
            LwM2mResponse response) {
        Map<String, Object> event = of("task-answered", session, request);
        event.put("code", response.getCode().getCode());
        event.put("message", response.getErrorMessage());
        if (response instanceof BootstrapDiscoverResponse && response.isSuccess()) {
            event.put("links", new DefaultLinkSerializer()
                    .serializeCoreLinkFormat(((BootstrapDiscoverResponse) response).getObjectLinks()));
        }
        if (response instanceof BootstrapReadResponse && response.isSuccess()) {
            event.put("content", Nodes.plain(((BootstrapReadResponse) response).getContent()));
        }
        return event;
    }

    @Override
    public void sessionInitiated(BootstrapRequest request, LwM2mPeer client) {
        Map<String, Object> event = of("initiated", request.getEndpointName());
        event.put("format", String.valueOf(request.getPreferredContentFormat()));
        event.put("attributes", request.getAdditionalAttributes());
        event.put("identity", String.valueOf(client.getIdentity()));
        server.event(event);
    }

    @Override
    public void unAuthorized(BootstrapRequest request, LwM2mPeer client) {
        server.event(of("unauthorized", request.getEndpointName()));
    }

    @Override
    public void authorized(BootstrapSession session) {
        server.event(of("authorized", session));
    }

    @Override
    public void noConfig(BootstrapSession session) {
        server.event(of("not-configured", session));
    }

    @Override
    public void sendRequest(BootstrapSession session, BootstrapDownlinkRequest<? extends LwM2mResponse> request) {
        server.event(of("task", session, request));
    }

    @Override
    public void onResponseSuccess(BootstrapSession session, BootstrapDownlinkRequest<? extends LwM2mResponse> request,
            LwM2mResponse response) {
        server.event(answered(session, request, response));
    }

    @Override
    public void onResponseError(BootstrapSession session, BootstrapDownlinkRequest<? extends LwM2mResponse> request,
            LwM2mResponse response) {
        server.event(answered(session, request, response));
    }

    @Override
    public void onRequestFailure(BootstrapSession session, BootstrapDownlinkRequest<? extends LwM2mResponse> request,
            Throwable cause) {
        Map<String, Object> event = of("task-failed", session, request);
        event.put("error", String.valueOf(cause));
        server.event(event);
    }

    @Override
    public void end(BootstrapSession session) {
        server.event(of("finished", session));
    }

    @Override
    public void failed(BootstrapSession session, BootstrapFailureCause cause) {
        Map<String, Object> event = of("failed", session);
        event.put("cause", String.valueOf(cause));
        server.event(event);
    }
}
