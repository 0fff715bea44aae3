import java.util.Date;
import java.util.LinkedHashMap;
import java.util.Map;

import org.eclipse.leshan.core.Link;
import org.eclipse.leshan.core.model.ResourceModel.Type;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.server.registration.Registration;

import com.fasterxml.jackson.databind.JsonNode;

/** The values of LwM2M 1.0. */
final class Values {
    private Values() {
    }

    static void describe(Registration client, Map<String, Object> event) {
        event.put("links", Link.serialize(client.getObjectLinks()));
    }

    static LwM2mNode node(LwM2mPath target, JsonNode described) {
        return Nodes.resource(target.getResourceId(), described);
    }

    static Object value(Type type, JsonNode value) {
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
            return Peer.bytes(value.asText());
        default:
            return value.asText();
        }
    }

    static Object plain(LwM2mNode node) {
        LwM2mResource resource = (LwM2mResource) node;
        if (!resource.isMultiInstances()) {
            return plainValue(resource.getValue());
        }
        Map<String, Object> children = new LinkedHashMap<>();
        resource.getValues().forEach((id, value) -> children.put(id.toString(), plainValue(value)));
        return children;
    }

    private static Object plainValue(Object value) {
        if (value instanceof Date) {
            return ((Date) value).getTime() / 1000;
        }
        if (value instanceof byte[]) {
            return Peer.hex((byte[]) value);
        }
        return value instanceof Number || value instanceof Boolean ? value : String.valueOf(value);
    }
}
