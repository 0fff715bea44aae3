import java.util.ArrayList;
import java.util.List;

import org.eclipse.leshan.core.node.LwM2mObjectInstance;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.core.request.CreateRequest;
import org.eclipse.leshan.core.request.DeleteRequest;
import org.eclipse.leshan.core.request.DiscoverRequest;
import org.eclipse.leshan.core.request.DownlinkDeviceManagementRequest;
import org.eclipse.leshan.core.request.ExecuteRequest;
import org.eclipse.leshan.core.request.ObserveRequest;
import org.eclipse.leshan.core.request.ReadRequest;
import org.eclipse.leshan.core.request.WriteRequest;
import org.eclipse.leshan.core.response.LwM2mResponse;

import com.fasterxml.jackson.databind.JsonNode;

/** The requests that are made in the same way in all versions. */
final class Requests {
    private Requests() {
    }

    static DownlinkDeviceManagementRequest<? extends LwM2mResponse> of(JsonNode command) throws Exception {
        ContentFormat format = format(command, "format");
        String path = command.path("path").asText();
        switch (command.get("do").asText()) {
        case "read":
            return new ReadRequest(format, path);
        case "discover":
            return new DiscoverRequest(path);
        case "execute":
            return new ExecuteRequest(path, command.path("arguments").asText(""));
        case "observe":
            return new ObserveRequest(format, path);
        case "delete":
            return new DeleteRequest(path);
        case "create":
            return create(command, format, new LwM2mPath(path).getObjectId());
        case "write":
            return write(command, format, path);
        default:
            throw new IllegalArgumentException("unknown command " + command.get("do"));
        }
    }

    static ContentFormat format(JsonNode command, String key) {
        return command.hasNonNull(key) ? ContentFormat.fromName(command.get(key).asText()) : null;
    }

    /** "instances": {"12": {"5700": ["float", 1]}} says the ids, "resources" leaves the id to the client. */
    private static CreateRequest create(JsonNode command, ContentFormat format, int object) throws Exception {
        if (command.hasNonNull("resources")) {
            return new CreateRequest(format, object, Nodes.resources(command.get("resources")));
        }
        List<LwM2mObjectInstance> instances = new ArrayList<>();
        command.get("instances").fields().forEachRemaining(entry -> instances
                .add(new LwM2mObjectInstance(Integer.parseInt(entry.getKey()), Nodes.resources(entry.getValue()))));
        return new CreateRequest(format, object, instances.toArray(new LwM2mObjectInstance[0]));
    }

    private static WriteRequest write(JsonNode command, ContentFormat format, String path) throws Exception {
        LwM2mPath target = new LwM2mPath(path);
        WriteRequest.Mode mode =
                command.path("replace").asBoolean(true) ? WriteRequest.Mode.REPLACE : WriteRequest.Mode.UPDATE;
        if (target.isObjectInstance()) {
            return new WriteRequest(mode, format, target.getObjectId(), target.getObjectInstanceId(),
                    Nodes.resources(command.get("resources")));
        }
        return new WriteRequest(mode, format, path, Values.node(target, command.get("node")));
    }
}
