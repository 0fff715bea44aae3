import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

import org.eclipse.leshan.core.link.DefaultLinkParser;
import org.eclipse.leshan.core.link.DefaultLinkSerializer;
import org.eclipse.leshan.core.link.Link;
import org.eclipse.leshan.core.link.LinkParseException;
import org.eclipse.leshan.core.model.ResourceModel.Type;
import org.eclipse.leshan.core.node.LwM2mMultipleResource;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mObject;
import org.eclipse.leshan.core.node.LwM2mObjectInstance;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.node.LwM2mResourceInstance;
import org.eclipse.leshan.core.node.LwM2mSingleResource;
import org.eclipse.leshan.core.node.ObjectLink;
import org.eclipse.leshan.core.node.TimestampedLwM2mNode;
import org.eclipse.leshan.core.node.TimestampedLwM2mNodes;
import org.eclipse.leshan.core.util.datatype.ULong;

import com.fasterxml.jackson.databind.JsonNode;

/**
 * Nodes of Leshan 2 as JSON. A value is written as [TYPE, VALUE], where the value of a multiple resource is an object of
 * its instances. What is read is plain: numbers, booleans, text; time in seconds, bytes in hex, a link as "OBJECT:INSTANCE".
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

    static LwM2mNode node(LwM2mPath target, JsonNode described) {
        if (target.isResourceInstance()) {
            Type type = type(described);
            return LwM2mResourceInstance.newInstance(target.getResourceInstanceId(), value(type, described.get(1)), type);
        }
        return resource(target.getResourceId(), described);
    }

    private static LwM2mResource resource(int id, JsonNode described) {
        Type type = type(described);
        if (!described.get(1).isObject()) {
            return LwM2mSingleResource.newResource(id, value(type, described.get(1)), type);
        }
        Map<Integer, Object> values = new LinkedHashMap<>();
        described.get(1).fields().forEachRemaining(
                entry -> values.put(Integer.parseInt(entry.getKey()), value(type, entry.getValue())));
        return LwM2mMultipleResource.newResource(id, values, type);
    }

    private static Type type(JsonNode described) {
        return Type.valueOf(described.get(0).asText().toUpperCase());
    }

    private static Object value(Type type, JsonNode value) {
        switch (type) {
        case INTEGER:
            return value.asLong();
        case UNSIGNED_INTEGER:
            return ULong.valueOf(value.asText());
        case FLOAT:
            return value.asDouble();
        case BOOLEAN:
            return value.asBoolean();
        case TIME:
            return new Date(value.asLong() * 1000);
        case OPAQUE:
            return Peer.bytes(value.asText());
        case OBJLNK:
            String[] ids = value.asText().split(":");
            return new ObjectLink(Integer.parseInt(ids[0]), Integer.parseInt(ids[1]));
        case CORELINK:
            try {
                return new DefaultLinkParser().parseCoreLinkFormat(value.asText().getBytes());
            } catch (LinkParseException error) {
                throw new IllegalArgumentException(error);
            }
        default:
            return value.asText();
        }
    }

    static Object plain(LwM2mNode node) {
        if (node instanceof LwM2mObject) {
            return children(((LwM2mObject) node).getInstances());
        }
        if (node instanceof LwM2mObjectInstance) {
            return children(((LwM2mObjectInstance) node).getResources());
        }
        if (node instanceof LwM2mResourceInstance) {
            return plainValue(((LwM2mResourceInstance) node).getValue());
        }
        if (node instanceof LwM2mResource) {
            LwM2mResource resource = (LwM2mResource) node;
            return resource.isMultiInstances() ? children(resource.getInstances()) : plainValue(resource.getValue());
        }
        return String.valueOf(node);
    }

    /** By path; null where the client left one out. */
    static Map<String, Object> plain(Map<LwM2mPath, LwM2mNode> nodes) {
        Map<String, Object> found = new LinkedHashMap<>();
        nodes.forEach((path, node) -> found.put(path.toString(), node == null ? null : plain(node)));
        return found;
    }

    static List<Object> samples(List<TimestampedLwM2mNode> nodes) {
        List<Object> samples = new ArrayList<>();
        for (TimestampedLwM2mNode node : nodes) {
            samples.add(sample(node.getTimestamp(), plain(node.getNode())));
        }
        return samples;
    }

    static List<Object> samples(TimestampedLwM2mNodes nodes) {
        List<Object> samples = new ArrayList<>();
        for (Instant at : nodes.getTimestamps()) {
            samples.add(sample(at, plain(nodes.getNodesAt(at))));
        }
        return samples;
    }

    /** Time in seconds, null where the client told none. */
    private static Map<String, Object> sample(Instant at, Object content) {
        Map<String, Object> sample = new LinkedHashMap<>();
        sample.put("at", at == null ? null : at.getEpochSecond() + at.getNano() / 1e9);
        sample.put("content", content);
        return sample;
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
        if (value instanceof ULong) {
            return ((ULong) value).toBigInteger();
        }
        if (value instanceof byte[]) {
            return Peer.hex((byte[]) value);
        }
        if (value instanceof ObjectLink) {
            return ((ObjectLink) value).getObjectId() + ":" + ((ObjectLink) value).getObjectInstanceId();
        }
        if (value instanceof Link[]) {
            return new DefaultLinkSerializer().serializeCoreLinkFormat((Link[]) value);
        }
        return value instanceof Number || value instanceof Boolean ? value : String.valueOf(value);
    }
}
