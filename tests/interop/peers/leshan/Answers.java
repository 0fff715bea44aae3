import java.util.Map;

import org.eclipse.californium.core.coap.Response;
import org.eclipse.leshan.core.response.CreateResponse;
import org.eclipse.leshan.core.response.LwM2mResponse;
import org.eclipse.leshan.core.response.ReadResponse;

/** What all versions tell of an answer in the same way. */
final class Answers {
    private Answers() {
    }

    /** Whether it brings what was asked for. */
    static boolean describe(LwM2mResponse response, Map<String, Object> answer) {
        if (response == null) {
            answer.put("error", "timeout");
            return false;
        }
        answer.put("code", response.getCode().getCode());
        if (response.getErrorMessage() != null) {
            answer.put("message", response.getErrorMessage());
        }
        if (response.getCoapResponse() instanceof Response) {
            Response coap = (Response) response.getCoapResponse();
            answer.put("format", coap.getOptions().getContentFormat());
            answer.put("type", coap.getType().toString());
        }
        if (!response.isSuccess()) {
            return false;
        }
        if (response instanceof ReadResponse) {
            answer.put("content", Nodes.plain(((ReadResponse) response).getContent()));
        }
        if (response instanceof CreateResponse) {
            answer.put("location", ((CreateResponse) response).getLocation());
        }
        return true;
    }
}
