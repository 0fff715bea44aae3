import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

import org.eclipse.leshan.core.model.ResourceModel.Type;
import org.eclipse.leshan.core.node.LwM2mMultipleResource;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mObject;
import org.eclipse.leshan.core.node.LwM2mObjectInstance;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.node.LwM2mSingleResource;

import com.fasterxml.jackson.databind.JsonNode;

/**
 * Nodes as JSON. A value is written as [TYPE, VALUE], where the value of a multiple resource is an object of its
 * instances. What is read is plain: numbers, booleans, text; time in seconds, bytes in hex, a link as "OBJECT:INSTANCE".
 * What differs from version to version is in Values.
 */
final class Nodes {
    private Nodes() {
    }

    static Collection<LwM2mResource> resources(JsonNode described) {
        List<LwM2mResource> resources = new ArrayList<>();
        described.fields().forEachRemaining(
                entry -> resources.add(resource(Integer.parseInt(entry.getKey()), entry.getValue())));
        return resources;
    }

    static LwM2mResource resource(int id, JsonNode described) {
        Type type = type(described);
        if (!described.get(1).isObject()) {
            return LwM2mSingleResource.newResource(id, Values.value(type, described.get(1)), type);
        }
        Map<Integer, Object> values = new LinkedHashMap<>();
        described.get(1).fields().forEachRemaining(
                entry -> values.put(Integer.parseInt(entry.getKey()), Values.value(type, entry.getValue())));
        return LwM2mMultipleResource.newResource(id, values, type);
    }

    static Type type(JsonNode described) {
        return Type.valueOf(described.get(0).asText().toUpperCase());
    }

    static Object plain(LwM2mNode node) {
        if (node instanceof LwM2mObject) {
            return children(((LwM2mObject) node).getInstances());
        }
        if (node instanceof LwM2mObjectInstance) {
            return children(((LwM2mObjectInstance) node).getResources());
        }
        return Values.plain(node);
    }

    static Map<String, Object> children(Map<Integer, ? extends LwM2mNode> nodes) {
        Map<String, Object> children = new LinkedHashMap<>();
        nodes.forEach((id, child) -> children.put(id.toString(), plain(child)));
        return children;
    }
}
