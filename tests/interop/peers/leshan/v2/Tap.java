import java.net.InetSocketAddress;
import java.util.LinkedHashMap;
import java.util.Map;

import org.eclipse.californium.core.coap.EmptyMessage;
import org.eclipse.californium.core.coap.Message;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.californium.core.network.interceptors.MessageInterceptor;
import org.eclipse.californium.elements.EndpointContext;

/** Notes every CoAP message of a server. */
final class Tap implements MessageInterceptor {
    private final Peer.Server server;

    Tap(Peer.Server server) {
        this.server = server;
    }

    private void note(String way, Message message, EndpointContext peer) {
        Map<String, Object> line = new LinkedHashMap<>();
        InetSocketAddress address = peer.getPeerAddress();
        line.put("port", address.getPort());
        line.put("way", way);
        line.put("type", message.getType().toString());
        line.put("code", code(message));
        line.put("id", message.getMID());
        line.put("token", message.getTokenString());
        line.put("path", message.getOptions().getUriPathString());
        line.put("query", message.getOptions().getUriQueryString());
        line.put("observe", message.getOptions().getObserve());
        line.put("format", message.getOptions().hasContentFormat() ? message.getOptions().getContentFormat() : null);
        line.put("options", message.getOptions().toString());
        line.put("size", message.getPayloadSize());
        server.message(line);
    }

    /** Class and detail as 205; 1 to 7 for requests, 0 for empty messages. */
    private static int code(Message message) {
        int raw = message.getRawCode();
        return (raw >> 5) * 100 + (raw & 31);
    }

    @Override
    public void sendRequest(Request request) {
        note("sent", request, request.getDestinationContext());
    }

    @Override
    public void sendResponse(Response response) {
        note("sent", response, response.getDestinationContext());
    }

    @Override
    public void sendEmptyMessage(EmptyMessage message) {
        note("sent", message, message.getDestinationContext());
    }

    @Override
    public void receiveRequest(Request request) {
        note("received", request, request.getSourceContext());
    }

    @Override
    public void receiveResponse(Response response) {
        note("received", response, response.getSourceContext());
    }

    @Override
    public void receiveEmptyMessage(EmptyMessage message) {
        note("received", message, message.getSourceContext());
    }
}
