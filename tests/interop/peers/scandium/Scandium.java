import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Arrays;
import java.util.List;

import org.eclipse.californium.elements.RawData;
import org.eclipse.californium.elements.config.Configuration;
import org.eclipse.californium.scandium.DTLSConnector;
import org.eclipse.californium.scandium.config.DtlsConfig;
import org.eclipse.californium.scandium.config.DtlsConnectorConfig;
import org.eclipse.californium.scandium.dtls.CertificateType;
import org.eclipse.californium.scandium.dtls.cipher.CipherSuite;
import org.eclipse.californium.scandium.dtls.pskstore.SinglePskStore;
import org.eclipse.californium.scandium.dtls.x509.SingleCertificateProvider;
import org.eclipse.californium.scandium.dtls.x509.StaticCertificateVerifier;

/**
 * The DTLS server of Leshan alone, which sends back what it gets:
 * Scandium CID-LENGTH DIRECTORY SUITE... The line "forget" makes it forget all clients.
 */
public final class Scandium {
    public static void main(String[] arguments) throws Exception {
        Configuration configuration = new Configuration();
        DtlsConnectorConfig.Builder builder = new DtlsConnectorConfig.Builder(configuration)
                .setAddress(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0))
                .set(DtlsConfig.DTLS_ROLE, DtlsConfig.DtlsRole.SERVER_ONLY)
                .set(DtlsConfig.DTLS_CONNECTION_ID_LENGTH, Integer.valueOf(arguments[0]))
                .set(DtlsConfig.DTLS_RECOMMENDED_CIPHER_SUITES_ONLY, false);
        List<CipherSuite> suites = Arrays.stream(arguments).skip(2).map(CipherSuite::valueOf).toList();
        builder.set(DtlsConfig.DTLS_CIPHER_SUITES, suites);
        if (suites.get(0).name().contains("ECDSA")) {
            Certificate[] chain = {certificate(arguments[1], "server"), certificate(arguments[1], "issuer")};
            PrivateKey key = key(arguments[1]);
            builder.setCertificateIdentityProvider(
                    new SingleCertificateProvider(key, chain, CertificateType.X_509));
            builder.setCertificateVerifier(StaticCertificateVerifier.builder()
                    .setTrustedCertificates(certificate(arguments[1], "authority")).build());
        } else {
            byte[] key = "secretPSKsecret1".getBytes(StandardCharsets.US_ASCII);
            builder.setPskStore(new SinglePskStore("box", key));
        }
        DTLSConnector connector = new DTLSConnector(builder.build());
        connector.setRawDataReceiver(data -> connector.send(
                RawData.outbound(data.getBytes(), data.getEndpointContext(), null, false)));
        connector.start();
        System.out.println("LISTENS " + connector.getAddress().getPort());
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            if (line.equals("forget")) {
                connector.clearConnectionState();
                System.out.println("FORGOT");
            }
        }
        connector.destroy();
    }

    private static byte[] file(String directory, String name) throws Exception {
        return Files.readAllBytes(new File(directory, name + ".der").toPath());
    }

    private static X509Certificate certificate(String directory, String name) throws Exception {
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        return (X509Certificate) factory.generateCertificate(
                new java.io.ByteArrayInputStream(file(directory, name)));
    }

    private static PrivateKey key(String directory) throws Exception {
        return KeyFactory.getInstance("EC")
                .generatePrivate(new PKCS8EncodedKeySpec(file(directory, "server.key")));
    }
}
