import java.time.Instant;
import java.util.ArrayList;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

import org.eclipse.leshan.core.link.DefaultLinkParser;
import org.eclipse.leshan.core.link.DefaultLinkSerializer;
import org.eclipse.leshan.core.link.Link;
import org.eclipse.leshan.core.link.LinkParseException;
import org.eclipse.leshan.core.model.ResourceModel.Type;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.node.LwM2mResourceInstance;
import org.eclipse.leshan.core.node.LwM2mRoot;
import org.eclipse.leshan.core.node.ObjectLink;
import org.eclipse.leshan.core.node.TimestampedLwM2mNode;
import org.eclipse.leshan.core.node.TimestampedLwM2mNodes;
import org.eclipse.leshan.core.util.datatype.ULong;
import org.eclipse.leshan.server.registration.Registration;

import com.fasterxml.jackson.databind.JsonNode;

/** The values of Leshan 2, and what it hears with times. */
final class Values {
    private Values() {
    }

    static void describe(Registration client, Map<String, Object> event) {
        event.put("formats", String.valueOf(client.getSupportedContentFormats()));
        event.put("links", new DefaultLinkSerializer().serializeCoreLinkFormat(client.getObjectLinks()));
    }

    static LwM2mNode node(LwM2mPath target, JsonNode described) {
        if (target.isResourceInstance()) {
            Type type = Nodes.type(described);
            return LwM2mResourceInstance.newInstance(target.getResourceInstanceId(), value(type, described.get(1)), type);
        }
        return Nodes.resource(target.getResourceId(), described);
    }

    static Object value(Type type, JsonNode value) {
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
        if (node instanceof LwM2mRoot) {
            return Nodes.children(((LwM2mRoot) node).getObjects());
        }
        if (node instanceof LwM2mResourceInstance) {
            return plainValue(((LwM2mResourceInstance) node).getValue());
        }
        if (node instanceof LwM2mResource) {
            LwM2mResource resource = (LwM2mResource) node;
            return resource.isMultiInstances() ? Nodes.children(resource.getInstances()) : plainValue(resource.getValue());
        }
        return String.valueOf(node);
    }

    /** By path; null where the client left one out. */
    static Map<String, Object> plain(Map<LwM2mPath, LwM2mNode> nodes) {
        Map<String, Object> found = new LinkedHashMap<>();
        nodes.forEach((path, node) -> found.put(path.toString(), node == null ? null : Nodes.plain(node)));
        return found;
    }

    static List<Object> samples(List<TimestampedLwM2mNode> nodes) {
        List<Object> samples = new ArrayList<>();
        for (TimestampedLwM2mNode node : nodes) {
            samples.add(sample(node.getTimestamp(), Nodes.plain(node.getNode())));
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
