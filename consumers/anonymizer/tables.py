"""Table E.1-1 as groups of keywords with the same codes. No I/O, no clock, no globals.

A row says what the Basic Profile does with an element, and what each option does instead. Codes are the standard's:
D dummy value, Z zero length or dummy value, X remove, K keep, C clean, U replace the UID consistently, and compounds
(X/Z, X/D, X/Z/D, X/Z/U*, Z/D). Elements without a row fall under the general rules of `unlisted.py`, which fail closed.

Source: PS3.15 Table E.1-1.
"""

from dataclasses import dataclass, field

from pydicom.datadict import tag_for_keyword


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the table.

    Args:
        basic: code of the Basic Profile.
        options: code by option column: private, uids, device, institution, patient, full_dates, modified_dates,
            descriptors, structured, graphics. A column that is absent leaves the basic code in force.
    """

    basic: str
    options: dict[str, str] = field(default_factory=dict)


DATES = {"full_dates": "K", "modified_dates": "C"}
DEVICE = {"device": "K"}
TEXT = {"descriptors": "C"}
UIDS = {"uids": "K"}
PLACE = {"institution": "K"}
PATIENT = {"patient": "K"}
STRUCTURE = {"structured": "C"}

AE_TITLES = {"device": "C"}

_GROUPS: tuple[tuple[str, dict[str, str], str], ...] = (
    # Identities of the patient, the visit, the order and its people
    ("Z", {}, """
        AccessionNumber ConsultingPhysicianName FillerOrderNumberImagingServiceRequest PatientBirthDate
        PatientName PlacerOrderNumberImagingServiceRequest ReferringPhysicianName ROIInterpreter StudyID
        VerifyingObserverIdentificationCodeSequence
        """),
    ("Z/D", {}, "ContentCreatorName PatientID"),
    ("X/Z", {}, "BarcodeValue ReviewerName"),
    ("X/Z/D", {}, "OperatorsName"),
    ("X/D", {}, "OperatorIdentificationSequence"),
    ("D", {}, """
        PersonIdentificationCodeSequence PersonName SelectorPNValue VerifyingObserverName
        VerifyingObserverSequence VerifyingOrganization
        """),
    ("X", {}, """
        ActualHumanPerformersSequence AddressTrial AdmissionID Arbitrary AuthorObserverSequence BranchOfService
        CameraOwnerName ConfidentialityConstraintOnPatientDataDescription
        ConsultingPhysicianIdentificationSequence ContentCreatorIdentificationCodeSequence CountryOfResidence
        CurrentObserverTrial CurrentPatientLocation CustodialOrganizationSequence DataSetTrailingPadding
        DigitalSignaturesSequence DistributionAddress DistributionName HumanPerformerName
        HumanPerformerOrganization IconImageSequence ImagePresentationComments InsurancePlanIdentification
        IntendedRecipientsOfResultsIdentificationSequence InterpretationApproverSequence InterpretationAuthor
        InterpretationID InterpretationIDIssuer InterpretationRecorder InterpretationTranscriber
        IssuerOfAdmissionID IssuerOfAdmissionIDSequence IssuerOfPatientID IssuerOfServiceEpisodeID
        IssuerOfServiceEpisodeIDSequence MAC MedicalRecordLocator MilitaryRank ModifiedAttributesSequence
        ModifiedImageDescription NameOfPhysiciansReadingStudy NamesOfIntendedRecipientsOfResults
        NonconformingDataElementValue NonconformingModifiedAttributesSequence OrderCallbackPhoneNumber
        OrderCallbackTelecomInformation OrderEnteredBy OrderEntererLocation OriginalAttributesSequence
        OtherPatientIDs OtherPatientIDsSequence OtherPatientNames ParticipantSequence PatientAddress
        PatientBirthName PatientBirthTime PatientInstitutionResidence PatientInsurancePlanCodeSequence
        PatientMotherBirthName PatientPrimaryLanguageCodeSequence PatientPrimaryLanguageModifierCodeSequence
        PatientReligiousPreference PatientTelecomInformation PatientTelephoneNumbers
        PatientTransportArrangements PerformedLocation PerformedProcedureStepID
        PerformingPhysicianIdentificationSequence PerformingPhysicianName PersonAddress PersonTelecomInformation
        PersonTelephoneNumbers PhysicianApprovingInterpretation PhysiciansOfRecord
        PhysiciansOfRecordIdentificationSequence PhysiciansReadingStudyIdentificationSequence
        ReferencedDigitalSignatureSequence ReferencedPatientAliasSequence ReferencedPatientPhotoSequence
        ReferencedSOPInstanceMACSequence ReferringPhysicianAddress ReferringPhysicianIdentificationSequence
        ReferringPhysicianTelephoneNumbers RegionOfResidence RequestedProcedureID RequestedProcedureLocation
        RequestingPhysician ResponsibleOrganization ResponsiblePerson ResultsDistributionListSequence ResultsID
        ResultsIDIssuer ROICreatorSequence ROIInterpreterSequence ScheduledHumanPerformersSequence
        ScheduledPatientInstitutionResidence ScheduledPerformingPhysicianIdentificationSequence
        ScheduledPerformingPhysicianName ScheduledProcedureStepID ServiceEpisodeID StudyIDIssuer
        TelephoneNumberTrial TextComments TextString TopicAuthor TopicKeywords TopicSubject TopicTitle
        VerbalSourceIdentifierCodeSequenceTrial VerbalSourceTrial
        """),
    # Characteristics of the patient
    ("Z", PATIENT, "PatientSex"),
    ("X/Z", PATIENT, "PatientSexNeutered"),
    ("X", PATIENT, """
        EthnicGroup EthnicGroupCodeSequence PatientAge PatientSize PatientWeight PregnancyStatus SmokingStatus
        """),
    ("X", {"patient": "C"}, "PreMedication SpecialNeeds"),
    ("X", {"patient": "C", "descriptors": "C"}, "Allergies PatientState"),
    # Institutions
    ("X/Z/D", PLACE, "InstitutionCodeSequence InstitutionName"),
    ("X", PLACE, "InstitutionAddress InstitutionalDepartmentName InstitutionalDepartmentTypeCodeSequence"),
    # Clinical trials
    ("D", {}, "ClinicalTrialProtocolID ClinicalTrialSponsorName ClinicalTrialSubjectID ClinicalTrialSubjectReadingID"),
    ("D", PLACE, "ClinicalTrialProtocolEthicsCommitteeName"),
    ("Z", {}, "ClinicalTrialProtocolName ClinicalTrialTimePointID"),
    ("Z", PLACE, """
        ClinicalTrialCoordinatingCenterName ClinicalTrialSiteID ClinicalTrialSiteName SourceOfPreviousValues
        """),
    ("X", {}, """
        ClinicalTrialProtocolEthicsCommitteeApprovalNumber ClinicalTrialSeriesID InstanceOriginStatus
        IssuerOfClinicalTrialProtocolID IssuerOfClinicalTrialSeriesID IssuerOfClinicalTrialSiteID
        IssuerOfClinicalTrialSubjectID IssuerOfClinicalTrialSubjectReadingID IssuerOfClinicalTrialTimePointID
        OtherClinicalTrialProtocolIDsSequence
        """),
    ("X", TEXT, "ClinicalTrialSeriesDescription ClinicalTrialTimePointDescription"),
    # Equipment
    ("X/Z/D", DEVICE, "DeviceSerialNumber StationName"),
    ("X/Z", DEVICE, "SourceSerialNumber TreatmentMachineName"),
    ("X/D", DEVICE, "DetectorID"),
    ("D", DEVICE, "DeviceLabel ModifyingSystem XRayDetectorID XRaySourceID"),
    ("Z", {}, "DeviceAlternateIdentifier RTAccessoryDeviceSlotID RTAccessoryHolderSlotID"),
    ("Z", DEVICE, "ManufacturerDeviceIdentifier"),
    ("X", DEVICE, """
        CassetteID DeviceDescription GantryID GeneratorID HardcopyCreationDeviceID LensMake LensModel
        LensSerialNumber LensSpecification ModifyingDeviceID PerformedStationGeographicLocationCodeSequence
        PerformedStationName PerformedStationNameCodeSequence PlateID ScheduledProcedureStepLocation
        ScheduledStationGeographicLocationCodeSequence ScheduledStationName ScheduledStationNameCodeSequence
        ScheduledStudyLocation SecondaryCaptureDeviceID SourceManufacturer TransducerIdentificationSequence
        UDISequence UniqueDeviceIdentifier XRayDetectorLabel
        """),
    ("X", AE_TITLES, """
        NetworkID Originator PerformedStationAETitle ReceivingAE RequestingAE RetrieveAETitle
        ScheduledStationAETitle ScheduledStudyLocationAETitle StationAETitle
        """),
    ("D", AE_TITLES, "DestinationAE SelectorAEValue"),
    # Where a camera stood (Exif)
    ("X", {}, """
        GPSAltitude GPSAltitudeRef GPSAreaInformation GPSDestBearing GPSDestBearingRef GPSDestDistance
        GPSDestDistanceRef GPSDestLatitude GPSDestLatitudeRef GPSDestLongitude GPSDestLongitudeRef
        GPSDifferential GPSDOP GPSImgDirection GPSImgDirectionRef GPSLatitude GPSLatitudeRef GPSLongitude
        GPSLongitudeRef GPSMapDatum GPSMeasureMode GPSProcessingMethod GPSSatellites GPSSpeed GPSSpeedRef
        GPSStatus GPSTimeStamp GPSTrack GPSTrackRef GPSVersionID
        """),
    # Specimens
    ("D", {}, "ContainerIdentifier SpecimenIdentifier"),
    ("Z", {}, "IssuerOfTheContainerIdentifierSequence IssuerOfTheSpecimenIdentifierSequence"),
    ("X", {}, "ContainerComponentID SlideIdentifier SpecimenAccessionNumber"),
    ("X", TEXT, "ContainerDescription SpecimenDetailedDescription SpecimenShortDescription"),
    ("Z", STRUCTURE, "SpecimenPreparationSequence"),
    # Dates and times
    ("Z", DATES, "ParticipationDateTime ReviewDate ReviewTime StructureSetDate StructureSetTime StudyDate StudyTime"),
    ("Z/D", DATES, "ContentDate ContentTime"),
    ("X/Z", DATES, "AcquisitionDate AcquisitionTime"),
    ("X/Z/D", DATES, "AcquisitionDateTime InstanceCreationTime"),
    ("X/D", DATES, """
        EndAcquisitionDateTime InstanceCreationDate ObservationDateTime RTPlanDate RTPlanTime SeriesDate
        SeriesTime StartAcquisitionDateTime TreatmentDate TreatmentTime
        """),
    ("D", DATES, """
        AttributeModificationDateTime Date DateTime DecayCorrectionDateTime DigitalSignatureDateTime
        FrameAcquisitionDateTime FrameReferenceDateTime ReferencedDateTime Time VerificationDateTime
        """),
    ("X", DATES, """
        AdmittingDate AdmittingTime CertifiedTimestamp ContrastBolusStartTime ContrastBolusStopTime
        ContributionDateTime CreationDate CreationTime CurveDate CurveTime DateOfSecondaryCapture DischargeDate
        DischargeTime ExpectedCompletionDateTime GPSDateStamp HL7DocumentEffectiveTime InstanceCoercionDateTime
        InterpretationApprovalDate InterpretationApprovalTime InterpretationRecordedDate
        InterpretationRecordedTime InterpretationTranscriptionDate InterpretationTranscriptionTime
        InterventionDrugStartTime InterventionDrugStopTime IssueDateOfImagingServiceRequest
        IssueTimeOfImagingServiceRequest LastMenstrualDate ModifiedImageDate ModifiedImageTime
        ObservationDateTrial ObservationStartDateTime ObservationTimeTrial OverlayDate OverlayTime
        PerformedProcedureStepEndDate PerformedProcedureStepEndDateTime PerformedProcedureStepEndTime
        PerformedProcedureStepStartDate PerformedProcedureStepStartDateTime PerformedProcedureStepStartTime
        PresentationCreationDate PresentationCreationTime ProcedureStepCancellationDateTime
        ProductExpirationDateTime RadiopharmaceuticalStartDateTime RadiopharmaceuticalStartTime
        RadiopharmaceuticalStopDateTime RadiopharmaceuticalStopTime ROIDateTime ROIObservationDateTime
        ScheduledAdmissionDate ScheduledAdmissionTime ScheduledDischargeDate ScheduledDischargeTime
        ScheduledProcedureStepEndDate ScheduledProcedureStepEndTime ScheduledProcedureStepExpirationDateTime
        ScheduledProcedureStepModificationDateTime ScheduledProcedureStepStartDate
        ScheduledProcedureStepStartDateTime ScheduledProcedureStepStartTime ScheduledStudyStartDate
        ScheduledStudyStartTime ScheduledStudyStopDate ScheduledStudyStopTime SOPAuthorizationDateTime
        StudyArrivalDate StudyArrivalTime StudyCompletionDate StudyCompletionTime StudyReadDate StudyReadTime
        StudyVerifiedDate StudyVerifiedTime SubstanceAdministrationDateTime TimeOfSecondaryCapture
        TimezoneOffsetFromUTC
        """),
    ("X", DEVICE | DATES, """
        CalibrationDate CalibrationTime DateOfInstallation DateOfLastCalibration DateOfManufacture
        DateTimeOfLastCalibration TimeOfLastCalibration
        """),
    ("X/D", DEVICE | DATES, "DateOfLastDetectorCalibration TimeOfLastDetectorCalibration"),
    ("Z", DEVICE | DATES, "CalibrationDateTime"),
    # Unique identifiers
    ("U", UIDS, """
        AcquisitionUID ConceptualVolumeUID ConcatenationUID ConstituentConceptualVolumeUID
        DimensionOrganizationUID DoseReferenceUID DosimetricObjectiveUID FailedSOPInstanceUIDList FiducialUID
        FrameOfReferenceUID InstanceCreatorUID IrradiationEventUID LargePaletteColorLookupTableUID
        MediaStorageSOPInstanceUID MultiplexGroupUID ObservationSubjectUIDTrial ObservationUID
        PaletteColorLookupTableUID PatientSetupUID PresentationDisplayCollectionUID
        PresentationSequenceCollectionUID PyramidUID ReferencedConceptualVolumeUID ReferencedDoseReferenceUID
        ReferencedDosimetricObjectiveUID ReferencedFiducialsUID ReferencedFrameOfReferenceUID
        ReferencedGeneralPurposeScheduledProcedureStepTransactionUID ReferencedObservationUIDTrial
        ReferencedSOPInstanceUID ReferencedSOPInstanceUIDInFile ReferencedTreatmentPositionGroupUID
        RelatedFrameOfReferenceUID RequestedSOPInstanceUID RTTreatmentPhaseUID SeriesInstanceUID SOPInstanceUID
        SourceConceptualVolumeUID SourceFrameOfReferenceUID SpecimenUID StorageMediaFileSetUID StudyInstanceUID
        SynchronizationFrameOfReferenceUID TableTopPositionAlignmentUID TargetUID TemplateExtensionCreatorUID
        TemplateExtensionOrganizationUID TrackingUID TransactionUID TreatmentPositionGroupUID
        TreatmentSessionUID
        """),
    ("U", {}, "DigitalSignatureUID UID"),
    ("U", UIDS | DEVICE, "DeviceUID ManufacturerDeviceClassUID"),
    ("X", UIDS, "AffectedSOPInstanceUID ReferencedPatientSequence"),
    ("X/Z", UIDS, "ReferencedStudySequence"),
    ("X/Z/D", UIDS, "ReferencedPerformedProcedureStepSequence"),
    ("X/Z/U*", UIDS, "ReferencedImageSequence SourceImageSequence"),
    # Descriptions, labels and comments
    ("X", TEXT, """
        AcquisitionComments AcquisitionContextDescription AcquisitionProtocolDescription
        AdditionalPatientHistory AdmittingDiagnosesCodeSequence AdmittingDiagnosesDescription BeamDescription
        BolusDescription ChannelDerivationDescription ChannelLabel CommentsOnRadiationDose
        CommentsOnThePerformedProcedureStep CompensatorDescription ContributionDescription
        DecompositionDescription DerivationDescription DeviceSettingDescription DischargeDiagnosisDescription
        DoseReferenceDescription EntityDescription EntityName FixationDeviceDescription FractionGroupDescription
        FrameComments IdentifyingComments ImageComments ImagingServiceRequestComments Impressions
        InterpretationDiagnosisDescription InterpretationText LongDeviceDescription MakerNote MedicalAlerts
        MultienergyAcquisitionDescription Occupation PatientComments PatientSetupPhotoDescription
        PerformedProcedureStepDescription PrescriptionDescription PyramidDescription PyramidLabel
        ReasonForOmissionDescription ReasonForRequestedProcedureCodeSequence ReasonForStudy
        ReasonForTheImagingServiceRequest ReasonForTheRequestedProcedure ReasonForVisit
        ReasonForVisitCodeSequence RequestAttributesSequence RequestedContrastAgent RequestedProcedureComments
        RequestedSeriesDescription RequestingService RespiratoryMotionCompensationTechniqueDescription
        ResultsComments ROIDescription ROIGenerationDescription ROIObservationDescription ROIObservationLabel
        RTPlanDescription RTPlanName ScheduledProcedureStepDescription SeriesDescription
        ServiceEpisodeDescription SetupTechniqueDescription ShieldingDeviceDescription StructureSetDescription
        StructureSetName StudyComments StudyDescription TreatmentSites VisitComments WaveformFilterDescription
        """),
    ("X/Z", TEXT, "LabelText RequestedProcedureDescription"),
    ("X/D", TEXT, "AcquisitionDeviceProcessingDescription ProtocolName RTTreatmentApproachLabel TreatmentSite"),
    ("Z/D", TEXT, "ContrastBolusAgent"),
    ("Z", TEXT, "PrescriptionNotesSequence ROIName"),
    ("D", TEXT, """
        AcquisitionFieldOfViewLabel EntityLabel EntityLongLabel ReasonForTheAttributeModification RTPlanLabel
        StructureSetLabel UnformattedTextValue UserContentLabel UserContentLongLabel
        """),
    ("D", {"graphics": "C"}, "GraphicAnnotationSequence"),
    ("D", STRUCTURE, "ContentSequence"),
    ("X/Z", STRUCTURE, "AcquisitionContextSequence"),
    ("X/D", STRUCTURE, "WaveformAnnotationSequence"),
    # Whole documents and what signs them
    ("D", {}, "CertificateOfSigner EncapsulatedDocument FlowIdentifier FlowIdentifierSequence SourceIdentifier"),
)  # fmt: skip


def _table() -> dict[int, Row]:
    rows = {}
    for basic, options, keywords in _GROUPS:
        for keyword in keywords.split():
            tag = tag_for_keyword(keyword)
            if tag is not None:
                rows[tag] = Row(basic=basic, options=options)
    return rows


TABLE: dict[int, Row] = _table()
