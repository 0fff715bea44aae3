import java.io.ByteArrayInputStream;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.Properties;
import java.util.function.Consumer;

import org.eclipse.californium.elements.config.Configuration;
import org.eclipse.leshan.servers.security.EditableSecurityStore;
import org.eclipse.leshan.servers.security.SecurityInfo;

import com.fasterxml.jackson.databind.JsonNode;

/**
 * Keys of servers and clients as a test gives them, all in hex. A server has "identity": {"key": PKCS8, "certificates":
 * [X509 …]} or {"key": PKCS8, "public": SPKI}, and "trust": [X509 …]. Keys are on elliptic curves.
 */
final class Security {
    private static final String CURVES = "EC";

    private Security() {
    }

    static void identify(JsonNode settings, Consumer<PrivateKey> key, Consumer<PublicKey> raw,
            Consumer<X509Certificate[]> chain, Consumer<X509Certificate[]> trust) throws GeneralSecurityException {
        JsonNode identity = settings.path("identity");
        if (identity.hasNonNull("key")) {
            byte[] bytes = Peer.bytes(identity.get("key").asText());
            key.accept(KeyFactory.getInstance(CURVES).generatePrivate(new PKCS8EncodedKeySpec(bytes)));
        }
        if (identity.hasNonNull("public")) {
            raw.accept(publicKey(identity.get("public")));
        }
        if (identity.hasNonNull("certificates")) {
            chain.accept(certificates(identity.get("certificates")));
        }
        if (settings.hasNonNull("trust")) {
            trust.accept(certificates(settings.get("trust")));
        }
    }

    private static PublicKey publicKey(JsonNode hex) throws GeneralSecurityException {
        return KeyFactory.getInstance(CURVES).generatePublic(new X509EncodedKeySpec(Peer.bytes(hex.asText())));
    }

    private static X509Certificate[] certificates(JsonNode list) throws GeneralSecurityException {
        X509Certificate[] certificates = new X509Certificate[list.size()];
        for (int at = 0; at < certificates.length; at++) {
            certificates[at] = (X509Certificate) CertificateFactory.getInstance("X.509")
                    .generateCertificate(new ByteArrayInputStream(Peer.bytes(list.get(at).asText())));
        }
        return certificates;
    }

    /** Sets "properties" of Californium and Scandium by the names that their own file gives them. */
    static void configure(Configuration values, JsonNode settings) {
        Properties properties = new Properties();
        settings.path("properties").fields()
                .forEachRemaining(entry -> properties.setProperty(entry.getKey(), entry.getValue().asText()));
        values.add(properties);
    }

    /** What a client shows: "psk": {"identity", "key"}, "rpk": SPKI, or nothing for a certificate of its name. */
    static void add(EditableSecurityStore store, JsonNode command) throws Exception {
        String endpoint = command.get("endpoint").asText();
        store.remove(endpoint, false);
        if (command.hasNonNull("psk")) {
            JsonNode psk = command.get("psk");
            store.add(SecurityInfo.newPreSharedKeyInfo(endpoint, psk.get("identity").asText(),
                    Peer.bytes(psk.get("key").asText())));
        } else if (command.hasNonNull("rpk")) {
            store.add(SecurityInfo.newRawPublicKeyInfo(endpoint, publicKey(command.get("rpk"))));
        } else {
            store.add(SecurityInfo.newX509CertInfo(endpoint));
        }
    }
}
