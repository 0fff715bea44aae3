import org.eclipse.californium.core.config.CoapConfig;
import org.eclipse.californium.elements.config.BasicDefinition;

/** The properties of the server that tests set, by the names that Californium's properties file gives them. */
final class CoapSettings {
    private CoapSettings() {
    }

    static BasicDefinition<Integer> named(String name) {
        switch (name) {
        case "COAP.MAX_RESOURCE_BODY_SIZE":
            return CoapConfig.MAX_RESOURCE_BODY_SIZE;
        case "COAP.MAX_MESSAGE_SIZE":
            return CoapConfig.MAX_MESSAGE_SIZE;
        case "COAP.PREFERRED_BLOCK_SIZE":
            return CoapConfig.PREFERRED_BLOCK_SIZE;
        default:
            throw new IllegalArgumentException("unknown property " + name);
        }
    }
}
